"""Inference as in `predict`, without changing the model."""

import contextlib

import keras


def compiled(model):
    """Returns a function of the inputs, compiled on its first call (TensorFlow and JAX)."""
    if model.run_eagerly:
        return lambda inputs: model(inputs, training=False)
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](model)


def without_gradients():
    """A context in which no gradients are recorded."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _tensorflow(model):
    import tensorflow as tf

    @tf.function(jit_compile=model.jit_compile or None, autograph=False)
    def infer(inputs):
        return model(inputs, training=False)

    return infer


def _jax(model):
    import jax

    @jax.jit
    def infer(trainable, non_trainable, inputs):
        return model.stateless_call(trainable, non_trainable, inputs, training=False)[0]

    variables = model.trainable_variables, model.non_trainable_variables
    state = [[each.value for each in some] for some in variables]
    return lambda inputs: infer(*state, inputs)


def _torch(model):
    def infer(inputs):
        with without_gradients():
            return model(inputs, training=False)

    return infer
