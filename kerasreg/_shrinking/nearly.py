"""Hints for the report: units that could be removed if one more kernel were zero."""

import math
from dataclasses import dataclass

import numpy as np

from kerasreg._graph.families import ATTENTION
from kerasreg._graph.roles import model_roles
from kerasreg._graph.variables import host_view
from kerasreg._shrinking.costs.flops import Shapes

_SIDES = {"output": "computed", "input": "read"}


@dataclass(frozen=True)
class NearlyDead:
    """Units that stay because of a single kernel.

    All other kernels that compute these units, or all others that read them, are zero there.

    Attributes:
        kernel: path of the kernel.
        side: `"computed"` if the kernel is the only one that computes the units, `"read"` if it is
            the only one that reads them.
        units: number of units.
        parameters: number of parameters that would be removed together with all of them.
    """

    kernel: str
    side: str
    units: int
    parameters: int

    def __str__(self):
        return (
            f"{self.units:,} more units ({self.parameters:,} parameters) are {self.side} by "
            f"'{self.kernel}' alone: the other kernels are zero there"
        )


@dataclass(frozen=True)
class HeadsWithoutScores:
    """Attention heads that stay although all of their query or key weights are zero.

    Attributes:
        attention: name of the attention layer.
        heads: number of such heads.
    """

    attention: str
    heads: int

    def __str__(self):
        return (
            f"{self.heads:,} heads of '{self.attention}' have a query or key of zeros, and stay: "
            "such a head computes the mean of all values, and its output is used. A head is "
            "removed if its output weights are zero: prune whole heads "
            '(`pattern="head"`), or penalise `attention_output/kernel` with `axis="head"`'
        )


def nearly_dead(model, analysis, dead):
    """Returns the `NearlyDead` and `HeadsWithoutScores` among the units that stay."""
    gone = dead.labels[analysis.roots]
    return [*_alone(model, analysis, gone), *_without_scores(analysis, gone)]


def _without_scores(analysis, gone):
    """Yields the `HeadsWithoutScores` of all attention layers."""
    layers_of = {id(call.operation): call for call in analysis.graph.calls}
    for call in layers_of.values():
        layer, heads = call.operation, call.memory.get("heads")
        if heads is None or not isinstance(layer, ATTENTION):
            continue
        alive = ~gone[analysis.roots[heads]]
        for dense in (layer._query_dense, layer._key_dense):
            alive &= _living_heads(dense, len(alive))
        count = int(np.count_nonzero(~gone[analysis.roots[heads]] & ~alive))
        if count:
            yield HeadsWithoutScores(layer.name, count)


def _living_heads(dense, count):
    """Returns a bool per query head: whether its part of a projection has a nonzero weight.

    In grouped-query attention, several query heads share one head of keys and values.
    """
    living = np.zeros(count, bool)
    for variable in (dense.kernel, dense.bias):
        if variable is not None:
            rows = np.moveaxis(host_view(variable), -2, 0)
            rows = rows.reshape(len(rows), -1).any(axis=1)
            living |= np.repeat(rows, max(1, count // len(rows))).reshape(count, -1).any(axis=1)
    return living


def _alone(model, analysis, gone):
    """Returns the `NearlyDead` of a model."""
    roles, found = model_roles(model), []
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
    """Yields `(path, root labels, those of them with nonzero weights)` for every kernel."""
    for each in analysis.slices.values():
        variable, rank = each.variable, len(each.variable.shape)
        groups = roles.get(id(variable), {}).get(role)
        # Attention and recurrent layers have 2-D biases.
        if rank < 2 or groups is None or variable.name == "bias":
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
    """Returns how many parameters are removed with `labels`, beyond those of `gone`."""
    counts = []
    for some in (gone, gone | np.isin(analysis.roots, labels)):
        shape = Shapes(analysis=analysis, gone=some)
        counts.append(sum(math.prod(shape(each.variable)) for each in analysis.slices.values()))
    return counts[0] - counts[1]
