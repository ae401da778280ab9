"""The partition of arrays into units that are pruned as a whole, in NumPy."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from kerasreg._pruning.ranking import nearest_count


class Units:
    """The partition of one array into units.

    Attributes:
        shape: the shape of the array.
        count: the number of units.
        limit: the maximum number of units that may be pruned.
        sizes: the number of weights in each unit: an int, or an int array of shape `(count,)`.
        remark: a remark on this array for the plan, or None.
        groups: the `Groups` that the units are, or None.
    """

    groups = None
    #: Whether a unit may remain although no remaining unit leads to it.
    is_loose = False

    def __init__(self, shape, count, sizes, limit=None, remark=None):
        self.shape = tuple(shape)
        self.count = count
        self.sizes = sizes
        self.limit = count if limit is None else limit
        self.remark = remark

    def prunable(self, sparsity, scores=None):
        """Returns the number of units that this sparsity prunes, rounded to the nearest unit.

        If units have different sizes, the number depends on the `scores` of the units; without
        scores it is None.
        """
        if isinstance(self.sizes, int):
            return self.nearest(sparsity * self.count)
        return None if scores is None else nearest_count(scores, self.sizes, sparsity)

    def nearest(self, wanted, least=0):
        """Returns the allowed number of pruned units nearest to `wanted`, but at least `least`."""
        return max(min(math.floor(wanted + 0.5), self.limit), least)

    def at_most(self, most):
        """Returns the largest allowed number of pruned units up to `most`."""
        return max(0, min(most, self.limit))

    def scores(self, scores, alive=None):
        """Returns one score per unit, an array of shape `(count,)`.

        The score is infinite for units that must not be pruned, and minus infinity for units that
        are pruned already.

        Args:
            scores: one score per weight, in the shape of the array.
            alive: a bool per weight, False for pruned weights, or None.
        """
        units = self._scores(scores)
        return units if alive is None else np.where(self.gather(alive), units, -np.inf)

    def _scores(self, scores):
        raise NotImplementedError

    def gather(self, alive):
        """Returns whether any weight of a unit is True, as an array of shape `(count,)`."""
        raise NotImplementedError

    def spread(self, units):
        """Returns the value of its unit for each weight, in the shape of the array."""
        raise NotImplementedError


@dataclass(frozen=True)
class Target:
    """A variable to prune, and its units.

    Arrays with one number per weight are passed as `{id(variable): array}`.
    """

    variable: keras.Variable
    units: Units
    #: The path of the variable, with a number appended if several have the same.
    path: str

    @property
    def variables(self):
        """The variables that contain the weights of the units."""
        return (self.variable,)

    @property
    def paths(self):
        """The paths in which the expressions of a scope are searched."""
        return (self.variable.path,)

    @property
    def shape(self):
        return tuple(self.variable.shape)

    @property
    def weights(self):
        """The number of weights."""
        return math.prod(self.shape)

    def take(self, arrays):
        """Returns the array of this target from `{id(variable): array}`."""
        return arrays[id(self.variable)]

    def spread(self, units):
        """Returns the value of its unit for each weight, as `{id(variable): array}`."""
        return {id(self.variable): self.units.spread(units)}

    def zeros(self, masks):
        """Returns the number of zeros under masks, which are True for weights that remain."""
        mask = self.take(masks)
        return mask.size - int(np.count_nonzero(mask))


def variables_of(targets):
    """Returns the variables of several targets, each once."""
    return list({id(v): v for target in targets for v in target.variables}.values())
