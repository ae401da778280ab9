"""Marks of tests that need what not every environment has."""

import importlib.util

import keras
import pytest

#: `keras.callbacks.TensorBoard` needs TensorFlow on every backend; `SparsityLogger` does not.
TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed",
)
#: `tests/test_stock_keras.py` fails as soon as Keras supports this on torch.
SEVERAL_STEPS = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras rejects several steps per execution on torch",
)
#: Keras compiles nothing on torch unless that is asked for.
COMPILATION = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras runs operations one by one on torch",
)
