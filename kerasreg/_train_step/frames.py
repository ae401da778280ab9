"""Finds the callback lists whose methods are running.

Keras gives a callback its model, but no way to the other callbacks of the same `fit`. So this
reads the stack. It is the only place that does.
"""

import sys
import types
from collections.abc import Iterator

import keras


def calling_lists() -> Iterator[keras.callbacks.CallbackList]:
    """Returns every `CallbackList` with a method that runs in this thread, innermost first."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            yield caller
        frame = frame.f_back
