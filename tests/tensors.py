"""Conversion from and to NumPy, gradients and compilation on every backend."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
#: JAX supports float64 only with a global flag that changes other results too.
DTYPES = ["float32", "float16", "bfloat16"] + ["float64"] * (BACKEND != "jax")


def tensor(values, dtype="float32"):
    """Returns a tensor. Finite numbers that are too large for `dtype` are clipped."""
    values = np.asarray(values, "float64")
    largest = {"float16": 65504.0, "bfloat16": 3e38, "float32": 3e38}.get(dtype, np.inf)
    values = np.where(np.isinf(values), values, np.clip(values, -largest, largest))
    exact = "float64" if dtype == "float64" else "float32"
    return ops.cast(ops.convert_to_tensor(values.astype(exact)), dtype)


def array(values):
    """Returns a float64 array with exactly the values of a tensor."""
    dtype = keras.backend.standardize_dtype(values.dtype)
    if dtype in ("float16", "bfloat16"):
        values = ops.cast(values, "float32")
    return np.asarray(ops.convert_to_numpy(values)).astype("float64")


def gradient(function, point):
    """Returns the gradient of a scalar function of one tensor, as an array."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(point)
            result = function(point)
        return array(tape.gradient(result, point))
    if BACKEND == "jax":
        import jax

        return array(jax.grad(function)(point))
    point = point.detach().requires_grad_()
    function(point).backward()
    return array(point.grad)


def compiled(function, xla=True):
    """Returns `(compiled function, list with an item per trace)`. JAX always uses XLA."""
    traces = []

    def traced(*args):
        traces.append(args)
        return function(*args)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(traced, jit_compile=xla), traces
    if BACKEND == "jax":
        import jax

        return jax.jit(traced), traces
    raise ValueError("torch runs eagerly")
