"""Whether a model is being trained right now, with something of ours in its train step."""

import sys

import keras

from kerasreg._common.texts import listed
from kerasreg._train_step.fit import FitScope
from kerasreg._train_step.penalties import TrainedPenalty


def require_idle(model: keras.Model, caller: str) -> None:
    """Raise a `RuntimeError` in a callback or context that trains the penalties of the model.

    Args:
        model: a Keras model.
        caller: who asks, for the message.
    """
    held = [v for v in model.weights if isinstance(v.regularizer, TrainedPenalty)]
    # After Ctrl-C, a fit has left them there. It is over, and the next fit clears them away.
    is_loop = any(not _is_of_fit(each.regularizer.active) for each in held)
    if is_loop or ((held or FitScope.is_entered(model)) and _is_in_callback()):
        where = f", on {listed([v.path for v in held])}" if held else ""
        raise RuntimeError(
            f"`{caller}` cannot change '{model.name}' while a callback of kerasreg or "
            f"`kerasreg.proximal` is training it{where}. Call it before that, or afterwards."
        )


def _is_of_fit(active):
    return isinstance(getattr(active, "__self__", None), FitScope)


def _is_in_callback():
    frame = sys._getframe(1)
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), keras.callbacks.CallbackList):
            return True
        frame = frame.f_back
    return False
