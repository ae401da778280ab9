"""Numbers as exact as the backend has them."""

import keras
import numpy as np
from keras import ops

#: Keras promotes float64 to float32 on JAX and torch.
WIDEST = "float64" if keras.backend.backend() == "tensorflow" else "float32"


def compute(function, *arrays):
    """A function of tensors on NumPy arrays, as exactly as the backend can."""
    tensors = [ops.convert_to_tensor(each, dtype=WIDEST) for each in arrays]
    return np.asarray(ops.convert_to_numpy(function(*tensors)), "float64")
