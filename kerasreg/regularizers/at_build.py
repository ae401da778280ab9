"""Errors where a layer is built, for what a layer cannot give a penalty."""

import inspect
from types import FrameType


def frame_of_add_weight(regularizer: object) -> FrameType | None:
    """The frame of `Layer.add_weight` that is setting this regularizer right now, or None.

    Keras calls no method of a regularizer before the first loss is computed, which is in `fit`.
    When a layer is built, all that it asks is whether the regularizer is a class: it reads
    `__class__`, and whoever defines that as a property is called there.
    """
    frame = inspect.currentframe()
    for _ in range(5):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return None
        is_it = frame.f_code.co_name == "add_weight"
        if is_it and frame.f_locals.get("regularizer") is regularizer:
            return frame
    return None
