"""Finds the callback lists whose methods are running.

Keras passes the model to a callback, but not the other callbacks of the same `fit`. Only this
module inspects the stack to find them.
"""

import sys
import types
from collections.abc import Iterator

import keras


def calling_lists() -> Iterator[keras.callbacks.CallbackList]:
    """Yields every `CallbackList` with a running method in this thread, innermost first."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            yield caller
        frame = frame.f_back
