"""Checks whether a model is being trained with a session in its train step."""

import keras

from kerasreg._common.texts import listed
from kerasreg._train_step.fit import FitScope
from kerasreg._train_step.frames import calling_lists
from kerasreg._train_step.penalties import TrainedPenalty


def require_idle(model: keras.Model, caller: str) -> None:
    """Raises a `RuntimeError` while a callback or context changes the penalties of the model.

    Args:
        model: a Keras model.
        caller: the name of the calling function, for the message.
    """
    held = [v for v in model.weights if isinstance(v.regularizer, TrainedPenalty)]
    # An interrupted fit (Ctrl-C) leaves them in the model; the next fit removes them.
    is_loop = any(not _is_of_fit(each.regularizer.active) for each in held)
    is_entered = bool(held or FitScope.sessions_of(model))
    if is_loop or (is_entered and next(calling_lists(), None) is not None):
        where = f", on {listed([v.path for v in held])}" if held else ""
        raise RuntimeError(
            f"`{caller}` cannot change '{model.name}' while a callback of kerasreg or "
            f"`kerasreg.proximal` is training it{where}. Call it before or after the training."
        )


def _is_of_fit(active):
    return isinstance(getattr(active, "__self__", None), FitScope)
