"""The gradient of a scalar, for each backend, because Keras has no function for it."""

import keras
import numpy as np
from keras import ops


def gradients_of(function, variables):
    """Returns the gradients of `function()` with respect to Keras variables, as float32 arrays.

    They are zero if the function does not depend on a variable. Assignments to variables in the
    function may be lost.
    """
    gradients = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    found = gradients[keras.backend.backend()](function, variables)
    return [
        np.zeros(variable.shape, "float32")
        if gradient is None
        else np.asarray(ops.convert_to_numpy(ops.cast(gradient, "float32")))
        for gradient, variable in zip(found, variables, strict=True)
    ]


def _tensorflow(function, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        result = function()
    zero = tf.UnconnectedGradients.NONE
    gradients = tape.gradient(result, [variable.value for variable in variables], None, zero)
    # Gradients of embeddings are `IndexedSlices`.
    return [None if each is None else tf.convert_to_tensor(each) for each in gradients]


def _torch(function, variables):
    import torch

    values = [variable.value for variable in variables]
    with torch.enable_grad():
        return torch.autograd.grad(function(), values, allow_unused=True)


def _jax(function, variables):
    import jax

    def stateless(values):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            return function()

    return jax.grad(stateless)([variable.value for variable in variables])
