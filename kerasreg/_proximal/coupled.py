"""The group lasso of coupled units: one proximal operator for several variables."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view
from kerasreg._prox import group_soft_threshold
from kerasreg.regularizers.base import at_least_float32


class GroupOfProducers:
    """The weights that compute the units of one width, and their penalty.

    The penalty is `factor * sum_g sqrt(P) ||w_g||_2`, with one group `g` per unit. `P` is `size`.

    Args:
        group: a `CoupledGroup` with producers.
        factor: float, the factor of the penalty.
        size: int, the number of weights that compute one unit in the original model.
    """

    def __init__(self, group, factor, size):
        self.group = group
        self.members = group.producers
        self.variables = list({id(each.variable): each.variable for each in self.members}.values())
        self._factor = factor * math.sqrt(size)

    def value(self):
        """Returns the penalty of the current weights."""
        tensors = {id(variable): at_least_float32(variable) for variable in self.variables}
        squares = ops.sum(ops.square(self._rows(tensors)), axis=1)
        return self._factor * ops.sum(ops.sqrt(squares))

    def has_weights(self):
        """Returns whether any of the weights is not zero."""
        arrays = {id(each): host_view(each) for each in self.variables}
        return any(each.gather(arrays[id(each.variable)]).any() for each in self.members)

    def prox(self, tensors, steps, scale=1.0, reaches=None):
        """Returns the weights after the proximal step.

        The step is `argmin_x  scale * penalty(x) + sum_i (x_i - z_i)^2 / (2 step_i)`. It is exact,
        because the groups of all widths have no weight in common. If a weight would move further
        than its reach, its unit moves only a part of the way: all of its weights in proportion, so
        that they become zero together.

        Args:
            tensors: `{id(variable): tensor}`, the weights `z` before the step.
            steps: `{id(variable): tensor}`, the step sizes, scalars or one per weight.
            scale: the number that multiplies the penalty.
            reaches: `{id(variable): tensor}` (see `reach`), or None for no limit.

        Returns:
            `{id(variable): tensor}` for the variables of this group.
        """
        rows = self._rows(tensors)
        every = {key: ops.broadcast_to(step, tensors[key].shape) for key, step in steps.items()}
        thresholds = self._factor * ops.cast(scale * self._rows(every), rows.dtype)
        proxed = group_soft_threshold(rows, thresholds, (1,))
        if reaches is not None:
            proxed = _part_of_the_way(rows, proxed, ops.cast(self._rows(reaches), rows.dtype))
        rows = proxed
        places = np.cumsum([each.size for each in self.members])[:-1].tolist()
        # TensorFlow does not support an empty list of places.
        parts = ops.split(rows, places, 1) if places else [rows]
        new = {id(variable): tensors[id(variable)] for variable in self.variables}
        for each, part in zip(self.members, parts, strict=True):
            new[id(each.variable)] = each.scatter(new[id(each.variable)], part)
        return new

    def _rows(self, tensors):
        dtype = keras.backend.result_type(
            *(tensors[id(each.variable)].dtype for each in self.members)
        )
        rows = [each.gather(tensors[id(each.variable)]) for each in self.members]
        return ops.concatenate([ops.cast(each, dtype) for each in rows], axis=1)


def _part_of_the_way(start, end, reaches):
    """Moves each row from `start` towards `end` until a weight has moved by its reach."""
    way = ops.abs(end - start)
    short = way > reaches
    part = ops.min(
        ops.where(short, reaches / ops.where(short, way, 1.0), 1.0), axis=1, keepdims=True
    )
    # Rows that arrive are equal to `end`, without rounding.
    return ops.where(part < 1.0, start + part * (end - start), end)


def overlap(group, taken):
    """Marks the weights of a group as penalised, if none of them is penalised already.

    Args:
        group: a `CoupledGroup`.
        taken: `{id(variable): [(name of a group, mask of its weights)]}`, which is changed.

    Returns:
        None, or the reason why the group is not marked.
    """
    every = np.arange(group.units)
    masks = [(id(each.variable), each.mask(every)) for each in group.producers]
    for key, mask in masks:
        for name, other in taken.get(key, []):
            if (mask & other).any():
                return f"it shares weights with '{name}', which is penalised already"
    for key, mask in masks:
        taken.setdefault(key, []).append((group.name, mask))
    return None
