"""The results of `kerasreg.statistics`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from kerasreg._common.report import Report, plain_values
from kerasreg._statistics.table import statistics_sheet


@dataclass(frozen=True)
class Statistics:
    """The numbers of one variable, or of several together.

    Attributes:
        path: the path of the variable, or the name of the model.
        shape: its shape; `()` for a total.
        size: number of weights.
        zeros: number of weights that are exactly 0.
        nonfinite: number of weights that are NaN or infinite.
        l1: `sum |w|`. Like `l2` and `max`, NaN or infinite where a weight is.
        l2: `sqrt(sum w^2)`.
        max: `max |w|`.
        penalty: value of the variable's regularizer; 0.0 without one.
        units: number of units or filters of its output; None where the layer is unknown, or
            another variable of it counts them.
        dead_units: how many of them give out the same for every input; None like `units`.
        inputs: number of input features or channels; None where the layer has none.
        dead_inputs: how many of them have only zero weights; None where the layer has none.
        regularized: whether a regularizer is on it.
    """

    path: str
    shape: tuple[int, ...]
    size: int
    zeros: int
    nonfinite: int
    l1: float
    l2: float
    max: float
    penalty: float
    units: int | None
    dead_units: int | None
    inputs: int | None
    dead_inputs: int | None
    regularized: bool
    #: `{role: bool array}`, True for units, inputs and heads without a weight.
    _dead: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def left(self, role: str = "output", names: Sequence[str] | None = None) -> list:
        """Returns the units, inputs or heads that are not dead.

        Args:
            role: `"output"`: the units; `"input"`: the inputs that are read; `"head"`: the heads of
                an attention that have a weight in this variable.
            names: of all of them, in their order. Default: they are called by their indices.

        Returns:
            A list of indices, or of names.

        Raises:
            ValueError: where this variable has none of these, or for another number of names.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[2.0], [0.0], [1.0]])])
        >>> kernel, = kerasreg.statistics(model)
        >>> kernel.left("input"), kernel.left("input", names=["age", "sex", "bmi"])
        ([0, 2], ['age', 'bmi'])
        """
        if role not in self._dead:
            raise ValueError(
                f"`role` must be one of those of '{self.path}': {sorted(self._dead)}. "
                f"Received: role={role!r}"
            )
        dead = self._dead[role]
        if names is not None and len(names) != len(dead):
            raise ValueError(
                f"`names` must have one name for each of the {len(dead)} of '{self.path}' that are "
                f"role={role!r}. Received: {len(names)} names"
            )
        found = np.flatnonzero(~dead).tolist()
        return found if names is None else [names[index] for index in found]

    @property
    def sparsity(self) -> float:
        """The fraction of the weights that are exactly 0, from 0.0 to 1.0."""
        return self.zeros / self.size if self.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain Python values, ready for JSON; NaN and infinity become None."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        del values["_dead"]
        return plain_values({**values, "sparsity": self.sparsity})


@dataclass(frozen=True)
class ModelStatistics(Report):
    """What `statistics` returns: `variables` by path, and their `total`.

    `notes` say what the zeros do not show, of adapters (LoRA) and packed kernels.
    """

    variables: dict[str, Statistics]
    total: Statistics
    notes: tuple[str, ...] = ()

    def __getitem__(self, path: str) -> Statistics:
        return self.variables[path]

    def __iter__(self):
        return iter(self.variables.values())

    def to_dict(self) -> dict[str, Any]:
        """`{"model": ..., "variables": {path: {...}}, "total": {...}, "notes": [...]}`."""
        rows = {path: row.to_dict() for path, row in self.variables.items()}
        values = {"variables": rows, "total": self.total.to_dict(), "notes": list(self.notes)}
        return {"model": self.total.path, **values}

    def _sheet(self, width=None):
        return statistics_sheet(self, width)


def total(statistics, name="total") -> Statistics:
    """Returns the numbers of several variables together."""
    parts = list(statistics)

    def add(attribute):
        known = [getattr(part, attribute) for part in parts]
        known = [value for value in known if value is not None]
        return sum(known) if known else None

    return Statistics(
        path=name,
        shape=(),
        size=add("size") or 0,
        zeros=add("zeros") or 0,
        nonfinite=add("nonfinite") or 0,
        l1=add("l1") or 0.0,
        l2=math.sqrt(sum(part.l2**2 for part in parts)),
        # Python's max loses a NaN, NumPy's does not.
        max=float(np.max([part.max for part in parts], initial=0.0)),
        penalty=add("penalty") or 0.0,
        units=add("units"),
        dead_units=add("dead_units"),
        inputs=add("inputs"),
        dead_inputs=add("dead_inputs"),
        regularized=any(part.regularized for part in parts),
    )
