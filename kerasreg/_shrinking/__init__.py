"""A smaller model with the same outputs."""
