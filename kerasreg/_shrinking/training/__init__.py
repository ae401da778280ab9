"""Smaller models that keep the state of the training."""
