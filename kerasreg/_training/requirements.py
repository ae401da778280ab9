"""Checks of the model and data of `fit_and_shrink`."""

import inspect

import keras

from kerasreg._graph.requirements import require_shrinkable

#: Overrides of these methods are lost in a smaller model, which is a plain `keras.Model`.
_OF_THE_MODEL = ("train_step", "test_step", "compute_loss", "compute_metrics", "fit")


def require_trainable_parts(model, caller):
    """Raises a `ValueError` unless training can continue with a smaller model."""
    require_shrinkable(model, caller)
    if not model.compiled or getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"`{caller}` needs a compiled model with an optimizer. Received: '{model.name}', which "
            "is not compiled. Call `model.compile(...)` first."
        )
    own = [each for each in _OF_THE_MODEL if _is_overridden(model, each)]
    if own:
        raise ValueError(
            f"`{caller}` needs a model with the `train_step` and `fit` of Keras, because smaller "
            f"models are plain Keras models. Received: '{model.name}' ({type(model).__name__}), "
            f"which overrides {own}. Train it with its `fit`, then use `kerasreg.shrink`."
        )
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            f"`{caller}` supports one device only. Received: '{model.name}', built for "
            f"{strategy.num_replicas_in_sync} replicas of a `tf.distribute` strategy. Train it "
            "with `fit`, then use `kerasreg.shrink`."
        )


def steps_of(model, x, y, arguments):
    """Returns the number of batches per epoch as `fit` counts them, or None if it is unknown."""
    if arguments.get("steps_per_epoch") is not None:
        return arguments["steps_per_epoch"]
    if inspect.isgenerator(x) or hasattr(x, "__next__"):
        # Counting would consume batches.
        return None
    found = keras.callbacks.Callback()
    model.fit(x, y, **arguments, epochs=0, verbose=0, callbacks=[found])
    return found.params["steps"]


def _is_overridden(model, name):
    is_of_keras = getattr(type(model), name).__module__.startswith("keras.")
    return name in vars(model) or not is_of_keras
