"""Proximal training in a custom training loop."""

import contextlib
from collections.abc import Iterator

import keras

from kerasreg._proximal.session import ProximalSession


@contextlib.contextmanager
def proximal(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Context manager for proximal training in a custom training loop.

    Inside the context, every `optimizer.apply` ends with the proximal operator of each variable's
    regularizer, with the effective step size of the optimizer. The penalties in `model.losses` keep
    their values but have no gradient. When the context ends, also by an exception, model and
    optimizer train as before.

    With `tf.function` or `jax.jit`, trace the train step (its first call) inside the context. Do
    not call a step outside the context that was traced inside, because it still applies the
    proximal operator.

    Args:
        model: a built Keras model. At least one trainable variable needs a regularizer with a
            proximal operator (of kerasreg, or Keras' `L1`, `L2` and `L1L2`) or a constraint of
            kerasreg. Other regularizers are trained by their gradients.
        optimizer: the Keras optimizer that the loop applies. It is built if necessary.

    Raises:
        ValueError: if the model is not built, the optimizer is not supported, or no variable has a
            regularizer with a proximal operator.
        RuntimeError: at the end of the context, if the optimizer made steps but no proximal
            operator ran, because the train step was traced before.

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
