"""How arrays fall into units that are pruned as a whole, in NumPy."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from kerasreg._pruning.ranking import nearest_count


class Units:
    """How one array falls into units.

    Attributes:
        shape: of the array.
        count: number of units.
        limit: how many of them may be pruned.
        sizes: number of weights in a unit: an int, or an int array of the shape `(count,)`.
        remark: what the user should know about this array, or None.
        groups: the `Groups` that the units are, or None.
    """

    groups = None
    #: Whether a unit may stay without any that leads to it.
    is_loose = False

    def __init__(self, shape, count, sizes, limit=None, remark=None):
        self.shape = tuple(shape)
        self.count = count
        self.sizes = sizes
        self.limit = count if limit is None else limit
        self.remark = remark

    def prunable(self, sparsity, scores=None):
        """The number of units that this sparsity prunes, to the nearest unit.

        Where units have several sizes, it depends on which go, on the `scores` of units: without
        them it is None.
        """
        if isinstance(self.sizes, int):
            return self.nearest(sparsity * self.count)
        return None if scores is None else nearest_count(scores, self.sizes, sparsity)

    def nearest(self, wanted, least=0):
        """The number of units nearest to `wanted` that may be pruned, if `least` are."""
        return max(min(math.floor(wanted + 0.5), self.limit), least)

    def at_most(self, most):
        """The largest number of units up to `most` that may be pruned."""
        return max(0, min(most, self.limit))

    def scores(self, scores, alive=None):
        """One score per unit, `(count,)`: infinite for units that must stay as they are.

        `scores` has the shape of the array. `alive` says per weight whether it is not pruned; units
        that are dead have minus infinity.
        """
        units = self._scores(scores)
        return units if alive is None else np.where(self.gather(alive), units, -np.inf)

    def _scores(self, scores):
        raise NotImplementedError

    def gather(self, alive):
        """Per unit whether one of its weights is true, `(count,)`."""
        raise NotImplementedError

    def spread(self, units):
        """Per weight what its unit has, in the shape of the array."""
        raise NotImplementedError


@dataclass(frozen=True)
class Target:
    """A variable that is pruned, in units.

    What is known of every weight is handed around as `{id(variable): array}`.
    """

    variable: keras.Variable
    units: Units
    #: That of the variable, with a number behind it where several have the same.
    path: str

    @property
    def variables(self):
        """Those whose weights the units consist of."""
        return (self.variable,)

    @property
    def paths(self):
        """Where the expressions of a scope are looked for."""
        return (self.variable.path,)

    @property
    def shape(self):
        return tuple(self.variable.shape)

    @property
    def weights(self):
        """How many there are."""
        return math.prod(self.shape)

    def take(self, arrays):
        """What `units` works on, of one array per variable."""
        return arrays[id(self.variable)]

    def spread(self, units):
        """Per weight what its unit has, `{id(variable): array}`."""
        return {id(self.variable): self.units.spread(units)}

    def zeros(self, masks):
        """How many weights are zero under masks that say which stay."""
        mask = self.take(masks)
        return mask.size - int(np.count_nonzero(mask))


def variables_of(targets):
    """The variables of some targets, each once."""
    return list({id(v): v for target in targets for v in target.variables}.values())
