"""Dynamic sparsity: weak weights are pruned, and as many pruned weights regrow."""

import math
import zlib

import numpy as np

from kerasreg._common import validation
from kerasreg._pruning.ranking import weakest

_NAMES = ("gradient", "random")


class Regrow:
    """Exchanges a fraction of the non-zero units for pruned ones, at every pruning but the first.

    `"gradient"` chooses the pruned units with the largest gradient (RigL: Evci et al., 2020),
    `"random"` chooses among them at random (SET: Mocanu et al., 2018). Regrown weights start at
    zero. The fraction decreases to 0 along a cosine until the end of the schedule.
    """

    def __init__(self, by, fraction, pattern, hold, seed=0):
        self.by = validation.choice(by, "regrow", _NAMES)
        if pattern.no_regrowth is not None:
            raise ValueError(f"{pattern.no_regrowth}. Remove `regrow`, or use another pattern.")
        if not hold:
            raise ValueError(
                "`regrow` chooses which pruned weights may grow again, but with `hold=False` all "
                "of them may. Remove one of the two arguments."
            )
        self._fraction, self._seed = fraction, seed

    def fraction(self, step, timeline):
        """Returns the fraction of the units that are exchanged in this step."""
        # At the first pruning, there are no pruned units to exchange.
        if not timeline.begin < step < timeline.end:
            return 0.0
        if math.isinf(timeline.end):
            return self._fraction
        progress = (step - timeline.begin) / (timeline.end - timeline.begin)
        return self._fraction * (1 + math.cos(math.pi * progress)) / 2

    def replaced(self, targets, scores, alive, gradients, fraction, step):
        """Returns masks `{id(variable): alive}` of the same sparsity with a fraction exchanged."""
        gradients, found = gradients or {}, {}
        for target, score in zip(targets, scores, strict=True):
            key = id(target.variable)
            found[key] = self._replaced(
                target, score, alive[key], gradients.get(key), fraction, step
            )
        return found

    def _replaced(self, target, scores, alive, gradient, fraction, step):
        units = target.units
        living = units.gather(alive)
        count = math.floor(fraction * min(living.sum(), (~living).sum()))
        growth = self._growth(units, gradient, step, target.path)
        dropped = weakest(np.where(living, scores, np.inf), count)
        grown = weakest(np.where(living & ~dropped, np.inf, -growth), count)
        return units.spread((living & ~dropped) | grown)

    def _growth(self, units, gradient, step, path):
        if self.by == "random":
            return np.random.default_rng([self._seed, step, zlib.crc32(path.encode())]).random(
                units.count
            )
        return units.scores(np.abs(gradient), None)
