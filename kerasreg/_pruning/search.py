"""The search for the highest sparsity at which a metric stays within a tolerance."""

import math

import numpy as np

from kerasreg._common import validation
from kerasreg._pruning.timeline import validate_sparsity

_LOW = ("loss", "error", "mse", "mae", "mape", "msle", "perplexity")
_HIGH = ("acc", "auc", "precision", "recall", "f1", "iou", "score")


class Search:
    """The state of a search: it measures a baseline, and then tries rising sparsities.

    Args:
        levels: the sparsities to try, in rising order.
        epochs: the maximum number of epochs for the baseline and for each level.
        tolerance: how much worse than the baseline the metric may be.
        is_max: whether a high metric is good.
        baseline: a value of the metric, or None to measure it in the first epochs.
    """

    def __init__(self, levels, epochs, tolerance, is_max, baseline=None):
        self.levels, self._epochs, self._tolerance = levels, epochs, tolerance
        self._is_max = is_max
        #: The index of the current level; -1 while the baseline is measured.
        self.level = -1
        self.baseline, self._left = baseline, epochs
        #: The highest good sparsity so far, and whether the search is over.
        self.sparsity, self.is_over = 0.0, False
        #: `[(epoch, sparsity, value, is_good)]`.
        self.history = []

    def judge(self, epoch, value):
        """Records the value of an epoch. Returns whether to keep the current weights."""
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
        """Continues with the next level, or ends the search after the last one."""
        self.level += 1
        self._left = self._epochs
        self.is_over = self.is_over or self.level == len(self.levels)

    def state(self):
        """Returns two arrays from which `resume` can continue."""
        baseline = math.nan if self.baseline is None else self.baseline
        state = [self.level, self._left, self.sparsity, self.is_over, baseline]
        return np.array(state, "float64"), np.array(self.history, "float64").reshape(-1, 4)

    def resume(self, state, history):
        """Continues from the arrays that `state` returned."""
        level, left, self.sparsity, is_over, baseline = map(float, state)
        self.level, self._left, self.is_over = int(level), int(left), bool(is_over)
        self.baseline = None if math.isnan(baseline) else baseline
        rows = history.tolist()
        self.history = [(int(epoch), *numbers, bool(good)) for epoch, *numbers, good in rows]

    def _loss(self, value):
        return -value if self._is_max else value


def validate_levels(values):
    """Returns the sparsities as a list of floats, or raises if they do not rise."""
    levels = [validate_sparsity(value, "sparsities") for value in values]
    if not levels or levels != sorted(set(levels)):
        raise validation.invalid("sparsities", values, "a rising sequence of numbers from 0 to 1")
    return levels


def is_max(monitor, mode):
    """Returns whether a high metric is good, or raises if the name does not determine it."""
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
        '`mode` must be "max" or "min", because the name of the metric does not imply it. '
        f"Received: mode={mode!r}, monitor={monitor!r}"
    )
