"""What some tests need that not every environment has."""

import importlib.util

import pytest

#: Keras' own `TensorBoard` callback needs TensorFlow on every backend; `SparsityLogger` does not.
TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed",
)
