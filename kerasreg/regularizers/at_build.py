"""Rejects axis names in the arguments of layers, when the layer is built."""

import inspect
from types import FrameType

from kerasreg._graph.groups import Groups


class NamedAxis:
    """A penalty with `groups`, whose `axis` may be a name that `kerasreg.attach` translates.

    If a layer is given the name, building the layer raises an error. There is no simpler way. When
    a layer is built, `Layer.add_weight` calls `regularizers.get`, which reads only the attribute
    `__class__` of a regularizer (for `isinstance` and `inspect.isclass`), on every backend. Keras
    calls no method of it before `fit` computes the first loss.
    """

    groups: Groups

    @property  # type: ignore[misc]
    def __class__(self):
        groups = vars(self).get("groups")
        if groups is not None and isinstance(groups.axis, str):
            self._refuse_layer()
        return type(self)

    def check(self, shape, name="weights"):
        self.groups.check(shape, name)

    def _refuse_layer(self):
        """Raises an error if the caller is a layer that is being built with this penalty."""
        frame = _frame_of_add_weight(self)
        if frame is not None:
            layer, name, shape = (frame.f_locals[key] for key in ("self", "name", "shape"))
            shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
            self.check(shape, f"'{layer.name}/{name}'")


def _frame_of_add_weight(regularizer: object) -> FrameType | None:
    """Returns the frame of `Layer.add_weight` that sets this regularizer, or None."""
    frame = inspect.currentframe()
    for _ in range(5):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return None
        is_it = frame.f_code.co_name == "add_weight"
        if is_it and frame.f_locals.get("regularizer") is regularizer:
            return frame
    return None
