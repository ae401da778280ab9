"""Compiles the prox of a variable with XLA, where TensorFlow would run its operations one by one.

On a CPU, a proximal operator is bound by memory: each of its ten to thirty operations reads and
writes every weight. XLA makes a few passes of them. Keras compiles the whole train step with XLA
on accelerators, and JAX everywhere; on torch there is nothing to compile.
"""

import functools
from collections.abc import Callable

import keras

#: For fewer weights, compiling takes longer than a training saves.
SMALLEST = 2**15


def compiled(function: Callable, weights: int) -> Callable:
    """Returns `function`, compiled with XLA if that helps.

    Args:
        function: a pure function of nested structures of tensors.
        weights: the number of weights that it computes.
    """
    helps = weights >= SMALLEST and keras.backend.backend() == "tensorflow" and _is_op_by_op()
    return _with_xla(function) if helps else function


@functools.lru_cache(maxsize=256)
def _with_xla(function):
    import tensorflow as tf

    @functools.partial(tf.function, jit_compile=True, autograph=False)
    def run(args, kwargs):
        return function(*args, **kwargs)

    def read(value):
        return None if value is None else tf.convert_to_tensor(value)

    return lambda *args, **kwargs: run(*tf.nest.map_structure(read, (args, kwargs)))


def _is_op_by_op():
    """Returns whether TensorFlow traces a graph for one CPU, to run its operations one by one."""
    import tensorflow as tf

    return (
        not (
            tf.executing_eagerly()
            or tf.distribute.has_strategy()
            or tf.config.list_physical_devices("GPU")
        )
        and _has_xla()
    )


@functools.cache
def _has_xla():
    """Returns whether this build of TensorFlow can compile with XLA."""
    import tensorflow as tf

    try:
        with tf.init_scope():
            tf.function(lambda x: x + x, jit_compile=True)(tf.ones(()))
    except (tf.errors.OpError, NotImplementedError):
        return False
    return True
