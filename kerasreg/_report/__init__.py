"""Numbers for the logs of `fit` and for TensorBoard."""
