"""NumPy in and out, gradients and compilation, the same on every backend."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
#: JAX computes in float64 only behind a switch that changes everything else.
DTYPES = ["float32", "float16", "bfloat16"] + ["float64"] * (BACKEND != "jax")


def tensor(values, dtype="float32"):
    """A tensor; what `dtype` cannot hold becomes its largest finite number."""
    values = np.asarray(values, "float64")
    largest = {"float16": 65504.0, "bfloat16": 3e38, "float32": 3e38}.get(dtype, np.inf)
    values = np.where(np.isinf(values), values, np.clip(values, -largest, largest))
    exact = "float64" if dtype == "float64" else "float32"
    return ops.cast(ops.convert_to_tensor(values.astype(exact)), dtype)


def array(values):
    """A float64 array with exactly the values of a tensor."""
    dtype = keras.backend.standardize_dtype(values.dtype)
    if dtype in ("float16", "bfloat16"):
        values = ops.cast(values, "float32")
    return np.asarray(ops.convert_to_numpy(values)).astype("float64")


def gradient(function, point):
    """The gradient of a scalar function of one tensor, as an array."""
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
    """`(function under XLA, list that grows with every trace)`; JAX always has XLA."""
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
