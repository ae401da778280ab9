"""The group lasso of coupled units: several variables, one prox."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view
from kerasreg._prox import group_soft_threshold
from kerasreg.regularizers.base import at_least_float32


class GroupOfProducers:
    """The units of one width, by all weights that compute them, and their penalty.

    `factor * sum_g sqrt(P) ||w_g||_2`, one `g` of `P` weights per unit.
    """

    def __init__(self, group, factor):
        self.group = group
        self.members = group.producers
        self.variables = list({id(each.variable): each.variable for each in self.members}.values())
        self._factor = factor * math.sqrt(sum(each.size for each in self.members))

    def value(self):
        """The penalty of the weights as they are."""
        tensors = {id(variable): at_least_float32(variable) for variable in self.variables}
        squares = ops.sum(ops.square(self._rows(tensors)), axis=1)
        return self._factor * ops.sum(ops.sqrt(squares))

    def has_weights(self):
        """Whether any of them is not zero."""
        arrays = {id(each): host_view(each) for each in self.variables}
        return any(each.gather(arrays[id(each.variable)]).any() for each in self.members)

    def prox(self, tensors, steps, scale=1.0, reaches=None):
        """The new weights, `{id(variable): tensor}`, from those and a step for each of them.

        `argmin_x  scale * penalty(x) + sum_i (x_i - z_i)^2 / (2 step_i)`: exact, because the groups
        of all widths have no weight in common. With `reaches` (see `reach`) a unit goes only as
        much of that way as they allow, all weights in proportion, and arrives at zero as a whole.
        """
        rows = self._rows(tensors)
        every = {key: ops.broadcast_to(step, tensors[key].shape) for key, step in steps.items()}
        thresholds = self._factor * ops.cast(scale * self._rows(every), rows.dtype)
        proxed = group_soft_threshold(rows, thresholds, (1,))
        if reaches is not None:
            proxed = _part_of_the_way(rows, proxed, ops.cast(self._rows(reaches), rows.dtype))
        rows = proxed
        places = np.cumsum([each.size for each in self.members])[:-1].tolist()
        # TensorFlow cannot split at no place.
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
    """From each row of `start` to that of `end`, until the first weight is at its reach."""
    way = ops.abs(end - start)
    short = way > reaches
    part = ops.min(
        ops.where(short, reaches / ops.where(short, way, 1.0), 1.0), axis=1, keepdims=True
    )
    # What arrives keeps its bits.
    return ops.where(part < 1.0, start + part * (end - start), end)


def overlap(group, taken):
    """Why its weights are penalised already, or None; else they are now."""
    every = np.arange(group.units)
    masks = [(id(each.variable), each.mask(every)) for each in group.producers]
    for key, mask in masks:
        for name, other in taken.get(key, []):
            if (mask & other).any():
                return f"its weights are those of '{name}', which is penalised"
    for key, mask in masks:
        taken.setdefault(key, []).append((group.name, mask))
    return None
