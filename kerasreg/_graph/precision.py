"""Computation in the widest dtype of the backend."""

import keras
import numpy as np
from keras import ops

#: Keras promotes float64 to float32 on JAX and torch.
WIDEST = "float64" if keras.backend.backend() == "tensorflow" else "float32"


def compute(function, *arrays):
    """Returns a function of tensors applied to NumPy arrays, in the widest dtype of the backend."""
    tensors = [ops.convert_to_tensor(each, dtype=WIDEST) for each in arrays]
    return np.asarray(ops.convert_to_numpy(function(*tensors)), "float64")
