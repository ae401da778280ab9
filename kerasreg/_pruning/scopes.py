"""How the zeros are shared out among the variables, in NumPy."""

import math
import re

import numpy as np

from kerasreg._common import validation
from kerasreg._common.texts import nearest
from kerasreg._pruning.ranking import nearest_count, weakest
from kerasreg._pruning.timeline import validate_sparsity

NAMES = ("layer", "global", "erk")


class Scope:
    """How many units of each variable are pruned at a sparsity.

    Args:
        given: `"layer"`: the same fraction of every variable. `"global"`: the units with the lowest
            scores of all variables together. `"erk"`: the Erdos-Renyi-Kernel shares of Evci et al.
            (2020): a variable keeps weights in proportion to the sum of its axes over their
            product, so that small layers stay denser. Or a dict from regular expression (searched
            in paths, first match counts) to the final sparsity of those variables, towards which
            they rise as the schedule does (at once if that is a function, whose end is unknown);
            the others have that of the schedule.
    """

    def __init__(self, given):
        if isinstance(given, dict) and given:
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
        """Raise where a rule is for no variable."""
        paths = [path for target in targets for path in target.paths]
        unused = [
            pattern
            for pattern in self.targets
            if not any(re.search(pattern, path) for path in paths)
        ]
        if unused:
            raise ValueError(
                f"`scope` must have expressions that are found in the paths of pruned variables. "
                f"Received: {unused}; {nearest(unused[0], paths)}."
            )

    def shares(self, targets, sparsity, final):
        """The sparsity of each target, or None where scores decide.

        `final` is the sparsity at the end of the schedule, or None.
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
    """How many units of each variable are among the weakest of all; to the nearest unit.

    Args:
        units: a `Units` per variable.
        scores: per variable an array of `(count,)`; what is infinite stays.
        sparsity: the fraction of all weights.
    """
    ends = np.cumsum([each.count for each in units])
    every = np.concatenate(scores)
    sizes = np.concatenate([np.broadcast_to(each.sizes, each.count) for each in units])
    chosen = weakest(every, nearest_count(every, sizes, sparsity)) & (every != np.inf)
    return [int(np.count_nonzero(part)) for part in np.split(chosen, ends[:-1])]


def _erk(targets, sparsity):
    """Densities in proportion to `sum(shape) / prod(shape)`, none above 1."""
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
