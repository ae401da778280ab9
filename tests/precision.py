"""The widest dtype of the backend: Keras promotes float64 to float32 on JAX and torch."""

import keras

WIDEST, ROUNDING = "float32", 1e-5
if keras.backend.backend() == "tensorflow":
    WIDEST, ROUNDING = "float64", 1e-12
