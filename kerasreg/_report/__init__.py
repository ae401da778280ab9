"""Writing to TensorBoard."""
