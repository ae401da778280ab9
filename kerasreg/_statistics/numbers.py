"""The results of `kerasreg.statistics`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from kerasreg._common.lookup import look_up
from kerasreg._common.report import Report, plain_values
from kerasreg._statistics.table import statistics_sheet


@dataclass(frozen=True)
class Statistics:
    """The statistics of one variable, or of several variables together.

    Attributes:
        path: path of the variable, or name of the model for a total.
        shape: shape of the variable; `()` for a total.
        size: number of weights.
        zeros: number of weights that are exactly 0.
        nonfinite: number of weights that are NaN or infinite.
        l1: `sum |w|`. Like `l2` and `max`, NaN or infinite if a weight is.
        l2: `sqrt(sum w^2)`.
        max: `max |w|`.
        penalty: value of the variable's regularizer; 0.0 without one.
        units: number of units or filters that the variable computes; None if the layer is unknown,
            or if the units are counted in another variable of the layer.
        dead_units: number of units whose output is constant; None if `units` is None.
        inputs: number of input features or channels; None if the variable has none.
        dead_inputs: number of inputs with only zero weights; None if `inputs` is None.
        regularized: whether the variable has a regularizer.
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
            role: `"output"` for units, `"input"` for inputs with a nonzero weight, `"head"` for
                attention heads with a nonzero weight in this variable.
            names: names of all units, inputs or heads, in their order. Default: None, which
                returns indices.

        Returns:
            A list of indices, or of names.

        Raises:
            ValueError: if the variable does not have this role, or for a wrong number of names.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[2.0], [0.0], [1.0]])])
        >>> kernel, = kerasreg.statistics(model)
        >>> kernel.left("input"), kernel.left("input", names=["age", "sex", "bmi"])
        ([0, 2], ['age', 'bmi'])
        """
        if role not in self._dead:
            raise ValueError(
                f"`role` must be one of the roles of '{self.path}', {sorted(self._dead)}. "
                f"Received: role={role!r}"
            )
        dead = self._dead[role]
        if names is not None and len(names) != len(dead):
            raise ValueError(
                f"`names` must have one name for each of the {len(dead)} entries of '{self.path}' "
                f"with role={role!r}. Received: {len(names)} names"
            )
        found = np.flatnonzero(~dead).tolist()
        return found if names is None else [names[index] for index in found]

    @property
    def sparsity(self) -> float:
        """The fraction of the weights that are exactly 0, from 0.0 to 1.0."""
        return self.zeros / self.size if self.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns all values as plain Python values for JSON; NaN and infinity become None."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        del values["_dead"]
        return plain_values({**values, "sparsity": self.sparsity})


@dataclass(frozen=True)
class ModelStatistics(Report):
    """The result of `kerasreg.statistics`.

    Attributes:
        variables: `{path: Statistics}`. `statistics[key]` accepts a path, the end of a path, or a
            position.
        total: the statistics of all these variables together.
        notes: notes on zeros of LoRA adapters and of packed int4 kernels.
    """

    variables: dict[str, Statistics]
    total: Statistics
    notes: tuple[str, ...] = ()

    def __getitem__(self, key: str | int) -> Statistics:
        """Returns the statistics of a variable by its path, the end of its path, or its position.

        Raises:
            KeyError: if no variable or several variables have this path or end of a path.
            IndexError: for a position that is too large.
        """
        return look_up(self.variables, key, "paths")

    def __iter__(self):
        return iter(self.variables.values())

    def to_dict(self) -> dict[str, Any]:
        """Returns `{"model": ..., "variables": {path: {...}}, "total": {...}, "notes": [...]}`."""
        rows = {path: row.to_dict() for path, row in self.variables.items()}
        values = {"variables": rows, "total": self.total.to_dict(), "notes": list(self.notes)}
        return {"model": self.total.path, **values}

    def _sheet(self, width=None):
        return statistics_sheet(self, width)


def total(statistics, name="total") -> Statistics:
    """Returns the `Statistics` of several variables together."""
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
        # `max` of Python may ignore NaN, that of NumPy does not.
        max=float(np.max([part.max for part in parts], initial=0.0)),
        penalty=add("penalty") or 0.0,
        units=add("units"),
        dead_units=add("dead_units"),
        inputs=add("inputs"),
        dead_inputs=add("dead_inputs"),
        regularized=any(part.regularized for part in parts),
    )
