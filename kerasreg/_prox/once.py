"""Compiles functions with loops once: outside of `jit`, JAX compiles a loop in every call."""

import functools

import keras


def compiled_once(*static):
    """Decorator that, on JAX, compiles a function once for all arrays of the same shapes.

    Args:
        static: the names of the arguments that are not arrays.
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
