"""What else could go: units that a single kernel keeps."""

import math
from dataclasses import dataclass

import numpy as np

from kerasreg.regularizers.roles import model_roles
from kerasreg.shrinking.costs.flops import Shapes
from kerasreg.variables import host_view

_SIDES = {"output": "computed", "input": "read"}


@dataclass(frozen=True)
class NearlyDead:
    """Units that one kernel keeps, where all others that compute them, or read them, are zero.

    Attributes:
        kernel: path of the variable.
        side: `"computed"` or `"read"` by it alone.
        units: how many.
        parameters: how many would go with all of them.
    """

    kernel: str
    side: str
    units: int
    parameters: int

    def __str__(self):
        return (
            f"{self.units:,} more units ({self.parameters:,} parameters) are {self.side} by "
            f"'{self.kernel}' alone: other kernels are zero there"
        )


def nearly_dead(model, analysis, dead):
    """The `NearlyDead` of a model, without what is dead already."""
    roles, found = model_roles(model), []
    gone = dead.labels[analysis.roots]
    for role, side in _SIDES.items():
        parts = list(_parts(analysis, gone, roles, role))
        kernels, living = np.zeros(len(gone), int), np.zeros(len(gone), int)
        for _, labels, alive in parts:
            kernels[labels] += 1
            living[alive] += 1
        lonely = (kernels > 1) & (living == 1) & ~gone
        lonely[0] = False
        for path, _, alive in parts:
            labels = alive[lonely[alive]]
            if labels.size:
                found.append(NearlyDead(path, side, labels.size, _held(analysis, gone, labels)))
    return found


def _parts(analysis, gone, roles, role):
    """For every kernel `(path, root labels, those of them that are not zero)`."""
    for each in analysis.slices.values():
        variable, rank = each.variable, len(each.variable.shape)
        groups = roles.get(id(variable), {}).get(role)
        if rank < 2 or groups is None:
            continue
        axes = groups.axis if isinstance(groups.axis, tuple) else (groups.axis,)
        for axis in {axis % rank for axis in axes} & set(each.axes):
            labels = analysis.roots[each.axes[axis]]
            values = host_view(variable) != 0
            for other, names in each.axes.items():
                if other != axis:
                    values = np.compress(~gone[names], values, axis=other)
            alive = values.any(axis=tuple(other for other in range(rank) if other != axis))
            yield variable.path, np.unique(labels), np.unique(labels[alive])


def _held(analysis, gone, labels):
    """How many parameters go with labels, beyond those that are gone."""
    counts = []
    for some in (gone, gone | np.isin(analysis.roots, labels)):
        shape = Shapes(analysis=analysis, gone=some)
        counts.append(sum(math.prod(shape(each.variable)) for each in analysis.slices.values()))
    return counts[0] - counts[1]
