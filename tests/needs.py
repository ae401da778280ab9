"""What some tests need that not every environment has."""

import importlib.util

import keras
import pytest

#: Keras' own `TensorBoard` callback needs TensorFlow on every backend; `SparsityLogger` does not.
TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed",
)
#: `tests/test_stock_keras.py` fails when Keras takes them on torch.
SEVERAL_STEPS = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras refuses several steps per execution on torch",
)
