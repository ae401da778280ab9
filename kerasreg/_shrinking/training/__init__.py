"""Training that goes on with a smaller model."""
