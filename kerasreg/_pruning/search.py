"""How far a sparsity can rise while a metric stays within its tolerance: numbers alone."""

import math

import numpy as np

from kerasreg._common import validation
from kerasreg._pruning.timeline import validate_sparsity

_LOW = ("loss", "error", "mse", "mae", "mape", "msle", "perplexity")
_HIGH = ("acc", "auc", "precision", "recall", "f1", "iou", "score")


class Search:
    """The first epochs measure the baseline; then each level has some epochs to come near it.

    Args:
        levels: the rising sparsities that are tried.
        epochs: how many epochs each level, and the baseline, has at most.
        tolerance: how much worse than the baseline the metric may be.
        is_max: whether the metric should be high.
        baseline: a value of the metric, or None to measure it.
    """

    def __init__(self, levels, epochs, tolerance, is_max, baseline=None):
        self.levels, self._epochs, self._tolerance = levels, epochs, tolerance
        self._is_max = is_max
        #: The number of the level that is tried; -1 while the baseline is measured.
        self.level = -1
        self.baseline, self._left = baseline, epochs
        #: The last good sparsity, and whether nothing is left to try.
        self.sparsity, self.is_over = 0.0, False
        #: `[(epoch, sparsity, value, whether it was good)]`.
        self.history = []

    def judge(self, epoch, value):
        """Take the value of an epoch; returns whether the weights of now are the best so far."""
        self._left -= 1
        if self.level < 0:
            self.history.append((epoch, 0.0, value, True))
            is_good = self.baseline is None or self._loss(value) <= self._loss(self.baseline)
            if is_good:
                self.baseline = value
            if not self._left:
                self.raise_level()
            return is_good
        is_good = self._loss(value) <= self._loss(self.baseline) + self._tolerance
        self.history.append((epoch, self.levels[self.level], value, is_good))
        if is_good:
            self.sparsity = self.levels[self.level]
            self.raise_level()
        elif not self._left:
            self.is_over = True
        return is_good

    def raise_level(self):
        """Try the next level, or end after the last one."""
        self.level += 1
        self._left = self._epochs
        self.is_over = self.is_over or self.level == len(self.levels)

    def state(self):
        """Two arrays from which `resume` goes on."""
        baseline = math.nan if self.baseline is None else self.baseline
        state = [self.level, self._left, self.sparsity, self.is_over, baseline]
        return np.array(state, "float64"), np.array(self.history, "float64").reshape(-1, 4)

    def resume(self, state, history):
        """Go on from what `state` returned."""
        level, left, self.sparsity, is_over, baseline = map(float, state)
        self.level, self._left, self.is_over = int(level), int(left), bool(is_over)
        self.baseline = None if math.isnan(baseline) else baseline
        rows = history.tolist()
        self.history = [(int(epoch), *numbers, bool(good)) for epoch, *numbers, good in rows]

    def _loss(self, value):
        return -value if self._is_max else value


def validate_levels(values):
    """Rising sparsities, or a `ValueError`."""
    levels = [validate_sparsity(value, "sparsities") for value in values]
    if not levels or levels != sorted(set(levels)):
        raise validation.invalid("sparsities", values, "a rising sequence of numbers from 0 to 1")
    return levels


def is_max(monitor, mode):
    """Whether the metric of this name should be high, or a `ValueError` where that is unknown."""
    if not isinstance(mode, str) or mode not in ("auto", "max", "min"):
        raise validation.invalid("mode", mode, '"auto", "max" or "min"')
    if mode != "auto":
        return mode == "max"
    name = str(monitor).lower()
    if any(part in name for part in _LOW):
        return False
    if any(part in name for part in _HIGH):
        return True
    raise ValueError(
        f'`mode` must be "max" or "min", because the name of {monitor!r} does not tell which.'
    )
