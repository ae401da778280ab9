"""Shrinking: smaller models with the same outputs."""
