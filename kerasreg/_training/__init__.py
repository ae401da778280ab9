"""Training that goes on with smaller models."""
