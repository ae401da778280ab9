"""The pattern of coupled units: all weights that compute and read a unit."""

from dataclasses import dataclass

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._graph.coupled.find import find_groups
from kerasreg._graph.coupled.groups import CoupledGroup, obstacle
from kerasreg._graph.variables import require_matches
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.targets import require_targets
from kerasreg._pruning.units import Units

NO_REGROWTH = "`regrow` needs gradients, and a coupled unit that is zero on both sides has none"


class Coupled(Pattern):
    """Whole units with all weights that compute and read them, which `kerasreg.shrink` removes.

    A unit is one of `kerasreg.coupled_groups`: the columns of all kernels that are added into it,
    their biases, the gains and offsets of normalizations, and the rows of all kernels that read
    it. All of them become zero together, so that residual networks become narrower as well. The
    sparsity refers to units: at 0.5, the scope `"layer"` halves each width, and `"global"` removes
    the weakest units until half of all their weights are zero. `include`, `exclude` and the
    expressions of a scope are searched in the names of groups and in the paths of the variables
    that compute their units. The model must be Functional or Sequential.

    The score of a unit is the root mean square of the scores of all of its weights, so that units
    with different numbers of weights are comparable.

    Args:
        round_to: the number of remaining units is a multiple of this, because such widths are
            faster on some hardware.
        min_units: the minimum number of units that remain of every width.

    Raises:
        ValueError: for invalid arguments.

    Source: Fang et al. (2023), "DepGraph: Towards Any Structural Pruning".

    Example:

    >>> x = keras.Input((4,))
    >>> y = keras.layers.Dense(10, "relu", name="a")(x)
    >>> y = keras.layers.Add()([y, keras.layers.Dense(10, name="b")(y)])
    >>> model = keras.Model(x, keras.layers.Dense(2, name="c")(y))
    >>> plan = kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Coupled(round_to=4))
    >>> plan["a"].units, plan["a"].pruned
    (10, 6)
    >>> small, report = kerasreg.shrink(model)
    >>> [small.get_layer(name).units for name in "abc"]
    [4, 4, 2]
    """

    def __init__(self, round_to: int = 1, min_units: int = 1):
        self.round_to = validation.integer(round_to, "round_to", at_least=1)
        self.min_units = validation.integer(min_units, "min_units", at_least=1)
        #: The `sizes_of_units` of the original model in `fit_and_shrink`, otherwise empty.
        self.sizes: dict[str, tuple[int, int]] = {}

    is_joint = True
    note = "a row is a width; a weight between two widths counts in both"

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        groups = find_groups(model, caller)
        paths = [path for group in groups for path in group.paths]
        require_matches(include, "include", paths)
        require_matches(exclude, "exclude", paths)
        trainable = {id(variable) for variable in model.trainable_variables}
        targets, skipped = [], dict(groups.pinned)
        for group in groups:
            reason = obstacle(group, group.weights, trainable, include, exclude)
            if reason is None:
                count, size = self.sizes.get(group.name, _size(group))
                units = CoupledUnits(group, self.round_to, self.min_units, count, size)
                targets.append(CoupledTarget(group, units))
            else:
                skipped[group.name] = reason
        require_targets(targets, skipped, model, caller)
        return targets, skipped

    @property
    def no_regrowth(self) -> str | None:
        return NO_REGROWTH


@dataclass(frozen=True)
class CoupledTarget:
    """A group to prune, and its units. The interface is that of `Target`."""

    group: CoupledGroup
    units: Units

    @property
    def path(self):
        return self.group.name

    @property
    def variables(self):
        return tuple(each.variable for each in self.group.weights)

    @property
    def paths(self):
        return self.group.paths

    @property
    def shape(self):
        return self.units.shape

    @property
    def weights(self):
        """The number of weights; a weight between two groups counts in both."""
        return self.units.count * self.units.sizes

    def take(self, arrays):
        return arrays

    def spread(self, units):
        return self.units.spread(units)

    def zeros(self, masks):
        return self.units.sizes * int(np.count_nonzero(~self.units.gather(masks)))


def sizes_of_units(model, caller):
    """Returns `{name of a group: (number of units, number of weights per unit)}`."""
    return {group.name: _size(group) for group in find_groups(model, caller)}


def _size(group):
    return group.units, sum(each.size for each in group.weights)


class CoupledUnits(Units):
    """The units of a group. All arrays are passed as `{id(variable): array}`.

    Args:
        group: a `CoupledGroup`.
        round_to, min_units: see `Coupled`.
        count: int, the number of units, including those that were pruned and removed from the
            model; removed units come last in arrays of units. Default: the units of the group.
        size: int, the number of weights per unit before any units were removed. Required with
            `count`.
    """

    def __init__(self, group, round_to, min_units, count=None, size=None):
        self._members, self._left = group.weights, group.units
        if count is None:
            count, size = _size(group)
        least = -(-min_units // round_to) * round_to
        kept = np.arange(least, count, round_to)
        #: The allowed numbers of pruned units, in rising order.
        self._counts = np.append(0, count - kept[::-1])
        limit = int(self._counts[-1])
        remark = None if limit else f"{count} units are too few to prune any"
        super().__init__((count, size), count, size, limit, remark)

    def nearest(self, wanted, least=0):
        allowed = self._counts[self._counts >= least]
        if not len(allowed):
            return least
        # Halves are rounded up.
        distance = np.abs(allowed - wanted)[::-1]
        return int(allowed[::-1][np.argmin(distance)])

    def at_most(self, most):
        return int(self._counts[self._counts <= max(0, most)][-1])

    def scores(self, scores, alive=None):
        scores = super().scores(scores, alive)
        best = np.argsort(scores, kind="stable")[self.limit :]
        scores[best[scores[best] > -np.inf]] = np.inf
        return scores

    def _scores(self, scores):
        total = np.zeros(self._left)
        for each in self._members:
            rows = each.gather(scores[id(each.variable)]).astype("float64", copy=False)
            # The sign keeps the order of negative scores, such as those of movement.
            total += (np.sign(rows) * np.square(rows)).sum(axis=1)
        return self._with_removed(np.sign(total) * np.sqrt(np.abs(total) / self.sizes), -np.inf)

    def gather(self, alive):
        # A unit is pruned if all weights that compute it, or all that read it, are zero.
        living = {}
        for each in self._members:
            rows = each.gather(alive[id(each.variable)]).any(axis=1)
            living[each.role] = living.get(each.role, False) | rows
        return self._with_removed(np.logical_and.reduce(list(living.values())), False)

    def spread(self, units):
        spread, units = {}, units[: self._left]
        for each in self._members:
            mask = each.mask(units)
            key = id(each.variable)
            spread[key] = spread[key] | mask if key in spread else mask
        return spread

    def _with_removed(self, units, value):
        return np.append(units, np.full(self.count - self._left, value, units.dtype))
