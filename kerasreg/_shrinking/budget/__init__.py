"""Shrinking to a budget of parameters, FLOPs or latency."""
