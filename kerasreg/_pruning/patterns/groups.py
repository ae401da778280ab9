"""The pattern of units, filters, inputs or heads."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasreg._graph.groups import Groups
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.patterns.heads import Heads
from kerasreg._pruning.units import Units


class Group(Pattern):
    """Whole units, filters, inputs or heads, grouped as by the group regularizers.

    The score of a group is the root mean square of the scores of its weights. For magnitudes, it
    orders the groups of a layer by their L2 norm, and makes layers of different width comparable.

    Args:
        axis: an int or a tuple of ints, with one group per index; or the name of an axis, which is
            determined for each layer: `"output"` (units, filters), `"input"` (features, channels)
            or `"head"`, which is the same as `Heads`. Units that are outputs of the model are
            skipped unless `include` names them.
        gates: see `kerasreg.regularizers.GroupLasso`.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> layers = [keras.layers.Dense(6, name="dense"), keras.layers.Dense(2, name="last")]
    >>> model = keras.Sequential([keras.Input((8,)), *layers], name="net")
    >>> plan = kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Group("output"))
    >>> kerasreg.statistics(model)["net/dense/kernel"].dead_units
    3
    """

    def __init__(self, axis: int | tuple[int, ...] | str = "output", gates: int = 1):
        self.groups = Groups(axis, gates)

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        if self.groups.axis == "head":
            return Heads().find(model, include, exclude, caller)
        return super().find(model, include, exclude, caller)

    @property
    def is_joint(self) -> bool:  # type: ignore[override]
        return self.groups.axis == "head"

    @property
    def no_regrowth(self) -> str | None:
        return Heads().no_regrowth if self.is_joint else None

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        groups = self.groups
        if isinstance(groups.axis, str):
            if groups.axis not in roles:
                raise ValueError(f"it has no known axis of the kind {groups.axis!r}")
            groups = roles[groups.axis]
        groups.check(variable.shape)
        return _Groups(tuple(variable.shape), groups)


class _Groups(Units):
    is_loose = True

    def __init__(self, shape, groups):
        self.groups = groups
        self._view, self._axes = groups.layout(shape)
        size = groups.size(shape)
        super().__init__(shape, math.prod(shape) // size if size else 0, size)

    def gather(self, alive):
        return alive.reshape(self._view).any(axis=self._axes).reshape(-1)

    def spread(self, units):
        kept = [1 if axis in self._axes else size for axis, size in enumerate(self._view)]
        return np.broadcast_to(units.reshape(kept), self._view).reshape(self.shape)

    def _scores(self, scores):
        # The sign keeps the order of negative scores, such as those of movement.
        view = scores.astype("float64", copy=False).reshape(self._view)
        square = np.mean(np.sign(view) * np.square(view), axis=self._axes)
        return (np.sign(square) * np.sqrt(np.abs(square))).reshape(-1)
