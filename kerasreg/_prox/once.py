"""Compiles loops once: outside `jit`, JAX compiles a loop again at every call."""

import functools

import keras


def compiled_once(*static):
    """A decorator: on JAX, one compilation for all calls with arrays of the same shapes.

    Args:
        static: the names of the arguments that are no arrays.
    """

    def decorate(function):
        @functools.cache
        def compiled():
            import jax

            return jax.jit(function, static_argnames=static, inline=True)

        @functools.wraps(function)
        def call(*args, **kwargs):
            on_jax = keras.backend.backend() == "jax"
            return (compiled() if on_jax else function)(*args, **kwargs)

        return call

    return decorate
