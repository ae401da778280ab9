"""Groups of coupled units, with all weights that are removed with a unit."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasreg._common.lookup import look_up
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._common.texts import listed
from kerasreg._graph.coupled.members import CONSUMER, PASSIVE, PRODUCER, Member
from kerasreg._graph.variables import host_view

_COLUMNS = (
    *left("group"),
    *right("units", "parameters per unit"),
    *left("producers", "consumers"),
)


@dataclass(frozen=True)
class CoupledGroup:
    """One width of a model: units of the same structure, with all weights that belong to them.

    Attributes:
        name: path of the first layer that computes the units.
        members: tuple of the parts of variables that belong to the units. Each has `path`,
            `variable`, `axis`, `indices` (int array `(units, k)` along that axis) and `role`
            (`"producer"`, `"consumer"` or `"passive"`).

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, name="a"), keras.layers.Dense(2)]
    >>> (group,) = kerasreg.coupled_groups(keras.Sequential(layers))
    >>> group.units, group.parameters, [member.role for member in group.members]
    (8, 7, ['producer', 'producer', 'consumer'])
    """

    name: str
    members: tuple[Member, ...]

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.members[0].indices)

    @property
    def parameters(self) -> int:
        """Number of weights that are removed with one unit, each counted once."""
        taken: dict[int, tuple[Any, dict[int, int]]] = {}
        for each in self.members:
            along = taken.setdefault(id(each.variable), (each.variable, {}))[1]
            along[each.axis] = along.get(each.axis, 0) + each.indices.shape[1]
        return sum(
            math.prod(variable.shape)
            - math.prod(size - along.get(axis, 0) for axis, size in enumerate(variable.shape))
            for variable, along in taken.values()
        )

    @property
    def producers(self) -> tuple[Member, ...]:
        """The members that compute the units."""
        return tuple(each for each in self.members if each.role == PRODUCER)

    @property
    def consumers(self) -> tuple[Member, ...]:
        """The members that read the units."""
        return tuple(each for each in self.members if each.role == CONSUMER)

    @property
    def paths(self) -> tuple[str, ...]:
        """Its name and the paths of its producers, in which regular expressions are searched."""
        return (self.name, *(each.path for each in self.producers))

    def matches(self, pattern: str) -> bool:
        """Returns whether a regular expression is found in one of its `paths`."""
        return any(re.search(pattern, path) for path in self.paths)

    @property
    def weights(self) -> tuple[Member, ...]:
        """The producers and consumers, without passive members."""
        return tuple(each for each in self.members if each.role != PASSIVE)

    def gather(self) -> np.ndarray:
        """Returns the `weights` of every unit as the rows of an array, `(units, n)`.

        A weight that is read and computed by the same unit (as in a residual branch with a single
        dense layer) occurs twice.
        """
        rows = [each.gather(host_view(each.variable)) for each in self.weights]
        return np.concatenate(rows, axis=1)

    def scatter(self, rows: np.ndarray) -> None:
        """Sets the weights of all units.

        Args:
            rows: an array `(units, n)`, in the order of `gather`.
        """
        sizes = [each.size for each in self.weights]
        for each, part in zip(
            self.weights, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True
        ):
            each.variable.assign(each.scatter(host_view(each.variable), part))

    def zero(self, units: Sequence[int] | np.ndarray) -> None:
        """Sets the weights of some units to zero; passive members are not changed.

        Args:
            units: a sequence of ints, or a bool array `(units,)`.
        """
        for each in self.weights:
            value = host_view(each.variable)
            each.variable.assign(np.where(each.mask(units), np.zeros_like(value), value))


def obstacle(group, members, trainable, include, exclude):
    """Returns why these members of a group must not be changed, or None.

    Args:
        group: a `CoupledGroup`.
        members: some of its members.
        trainable: ids of the trainable variables of the model.
        include, exclude: regular expressions, or None.
    """
    if exclude is not None and group.matches(exclude):
        return "`exclude` matches it"
    if include is not None and not group.matches(include):
        return "`include` does not match it"
    frozen = [each.path for each in members if id(each.variable) not in trainable]
    return f"'{frozen[0]}' is not trainable" if frozen else None


class CoupledGroups(Report, list):
    """The result of `kerasreg.coupled_groups`: a list of `kerasreg.results.CoupledGroup`.

    Attributes:
        model: name of the model.
        pinned: `{path: reason}` for variables whose units cannot be removed.

    Example:

    >>> layers = [keras.layers.Dense(8, name="a"), keras.layers.Dense(2, name="b")]
    >>> model = keras.Sequential([keras.Input((4,)), *layers], name="net")
    >>> groups = kerasreg.coupled_groups(model)
    >>> groups["net/a"].units, groups.pinned
    (8, {'net/b/bias': 'an output of the model'})
    """

    def __init__(self, groups: Iterable[CoupledGroup], model: str, pinned: dict[str, str]):
        super().__init__(groups)
        self.model, self.pinned = model, pinned

    def __getitem__(self, key):
        """Returns a group by its name, the end of its name, or its index."""
        if isinstance(key, str):
            return look_up({each.name: each for each in self}, key, "names")
        return super().__getitem__(key)

    def to_dict(self) -> dict[str, Any]:
        """Returns `{"model": ..., "groups": [{"name": ..., "members": [...]}], "pinned": ...}`."""
        groups = [
            {
                "name": each.name,
                "units": each.units,
                "parameters": each.parameters,
                "members": [
                    {"path": m.path, "role": m.role, "axis": m.axis, "size": m.size}
                    for m in each.members
                ],
            }
            for each in self
        ]
        return {"model": self.model, "groups": groups, "pinned": dict(self.pinned)}

    def _sheet(self, width=None):
        rows = [
            (
                *(each.name, f"{each.units:,}", f"{each.parameters:,}"),
                *(_paths(each.producers), _paths(each.consumers)),
            )
            for each in self
        ]
        pinned = [f"not removable: {path}: {reason}" for path, reason in self.pinned.items()]
        return Sheet(f"Coupled groups of {self.model}", _COLUMNS, rows, notes=tuple(pinned))


def _paths(members):
    return listed(dict.fromkeys(each.path for each in members), limit=4)
