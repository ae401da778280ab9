"""Proximal training in a loop of one's own."""

import contextlib
from collections.abc import Iterator

import keras

from kerasreg._proximal.session import ProximalSession


@contextlib.contextmanager
def proximal(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Proximal training for a loop of one's own.

    Inside, every `optimizer.apply` ends with the prox of each variable's regularizer, taken with
    the effective step of the optimizer, and the penalties in `model.losses` keep their value but
    have no gradient. On leaving, also through an exception, all is as before.

    Trace your train step (its first call under `tf.function`, `jax.jit`) inside of the context. A
    step that was traced in it keeps its prox: do not use it outside.

    Args:
        model: a built Keras model. At least one trainable variable needs a regularizer with a
            prox (ours, or Keras' `L1`, `L2` and `L1L2`), or a constraint of ours. Others keep their
            gradient.
        optimizer: the Keras optimizer that the loop applies; it is built if it is not.

    Raises:
        ValueError: unbuilt model, unsupported optimizer, or nothing to do.
        RuntimeError: on leaving, if the optimizer went on but no prox ever ran, because the
            step was traced before.

    Example:

    >>> layer = keras.layers.Dense(1, kernel_regularizer="l1")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.set_weights([np.array([[1.0], [0.0005]]), np.zeros(1)])
    >>> optimizer = keras.optimizers.SGD(0.1)
    >>> with kerasreg.proximal(model, optimizer):
    ...     weights = model.trainable_variables
    ...     optimizer.apply([0 * weight for weight in weights], weights)
    >>> (np.asarray(layer.kernel) == 0).tolist()
    [[False], [True]]
    """
    with ProximalSession(model, optimizer, "kerasreg.proximal") as session:
        session.start(remember=True)
        yield
        session.require_all_steps()
