"""The distribution of zeros over the variables, in NumPy."""

import math
import re
from collections.abc import Mapping

import numpy as np

from kerasreg._common import validation
from kerasreg._common.texts import nearest
from kerasreg._pruning.ranking import nearest_count, weakest
from kerasreg._pruning.timeline import validate_sparsity

NAMES = ("layer", "global", "erk")


class Scope:
    """Determines how many units of each variable are pruned at a sparsity.

    Args:
        given: `"layer"`: the same fraction of every variable. `"global"`: the units with the lowest
            scores of all variables together. `"erk"`: the Erdos-Renyi-Kernel densities of Evci et
            al. (2020), which are proportional to the sum of the sizes of a variable's axes over
            their product, so that small layers are pruned less. Or a dict from regular expression
            (searched in paths; the first match counts) to the final sparsity of those variables.
            Their sparsity then rises in proportion to the schedule (or at once if the schedule is a
            function, whose final value is unknown). Other variables follow the schedule.
    """

    def __init__(self, given):
        if isinstance(given, Mapping) and given:
            self.targets = {
                validation.expression(pattern, "scope", is_key=True): validate_sparsity(
                    value, f"scope[{pattern!r}]"
                )
                for pattern, value in given.items()
            }
            self.name = "rules"
        elif isinstance(given, str) and given in NAMES:
            self.name, self.targets = given, {}
        else:
            expected = f"one of {NAMES}, or a dict from regular expression to a final sparsity"
            raise validation.invalid("scope", given, expected)

    def check(self, targets):
        """Raises a `ValueError` if an expression of the dict matches no variable."""
        paths = [path for target in targets for path in target.paths]
        unused = [
            pattern
            for pattern in self.targets
            if not any(re.search(pattern, path) for path in paths)
        ]
        if unused:
            raise ValueError(
                f"The keys of `scope` must be found in the paths of pruned variables. "
                f"Received: {unused}; {nearest(unused[0], paths)}."
            )

    def shares(self, targets, sparsity, final):
        """Returns the sparsity of each target, or None if it depends on the scores.

        Args:
            targets: the targets.
            sparsity: the current sparsity of the schedule.
            final: the final sparsity of the schedule, or None if it is unknown.
        """
        if self.name == "global":
            return None
        if self.name == "erk":
            return _erk(targets, sparsity)
        progress = 1.0 if not final else min(1.0, sparsity / final)
        return [self._share(target, sparsity, progress) for target in targets]

    def _share(self, target, sparsity, progress):
        for pattern, final in self.targets.items():
            if any(re.search(pattern, path) for path in target.paths):
                return progress * final
        return sparsity


def weakest_of_all(units, scores, sparsity):
    """Returns how many units of each variable are among the weakest of all variables.

    Args:
        units: one `Units` per variable.
        scores: one array of shape `(count,)` per variable; units of infinite score are not pruned.
        sparsity: the fraction of all weights to prune, rounded to the nearest unit.
    """
    ends = np.cumsum([each.count for each in units])
    every = np.concatenate(scores)
    sizes = np.concatenate([np.broadcast_to(each.sizes, each.count) for each in units])
    chosen = weakest(every, nearest_count(every, sizes, sparsity)) & (every != np.inf)
    return [int(np.count_nonzero(part)) for part in np.split(chosen, ends[:-1])]


def _erk(targets, sparsity):
    """Returns sparsities with densities proportional to `sum(shape) / prod(shape)`, at most 1."""
    sizes = np.array([math.prod(target.variable.shape) for target in targets], "float64")
    raw = np.array([sum(target.variable.shape) for target in targets]) / sizes
    kept = (1.0 - sparsity) * sizes.sum()
    dense = np.zeros(len(targets), bool)
    while True:
        room = kept - sizes[dense].sum()
        scale = room / (raw * sizes)[~dense].sum() if not dense.all() else 0.0
        over = ~dense & (scale * raw > 1.0)
        if not over.any():
            break
        dense |= over
    return [0.0 if full else 1.0 - scale * each for full, each in zip(dense, raw, strict=True)]
