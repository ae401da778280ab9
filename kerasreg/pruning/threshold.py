"""Prune the weights whose magnitude is below a threshold."""

import math
import numbers
import re

import numpy as np
from keras import ops

from kerasreg.regularizers.base import validate_factor
from kerasreg.variables import require_built


def prune_below(model, threshold=1e-3, relative=False, include=None, exclude=None):
    """Set every weight with `|w| < threshold` to exactly 0, once.

    Args:
        model: a built Keras model.
        threshold: in the units of the weights, or, with `relative`, in multiples of the
            variable's root mean square. A float for all variables, or a dict from regular
            expression to float; then the first that is found in the path of a variable counts.
        relative: whether thresholds are multiples of `sqrt(mean(w^2))`, which makes one number
            fit layers of different scale.
        include: regular expression of the paths to prune; default all trainable variables of two
            or more dimensions (kernels and embeddings, not biases or the weights of norms).
        exclude: regular expression of paths to leave alone.

    Returns:
        `{path: how many weights became zero}`.

    Raises:
        ValueError: for an unbuilt model, a bad threshold, an expression that matches nothing, or
            NaN or infinite weights, which no threshold can judge.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="dense")])
    >>> model.set_weights([np.array([[0.5], [-0.01], [0.0]]), np.zeros(1)])
    >>> kerasreg.prune_below(model, 0.1)
    {'dense/kernel': 1}
    """
    pruning = ThresholdRule(threshold, relative, include, exclude)
    return pruning.apply(pruning.targets(model))


class ThresholdRule:
    """Which variables are pruned below which threshold."""

    def __init__(self, threshold, relative, include, exclude):
        given = threshold if isinstance(threshold, dict) else {"": threshold}
        if not given:
            raise ValueError("`threshold` must not be an empty dict.")
        self._thresholds = {
            pattern: validate_factor(value, "threshold") for pattern, value in given.items()
        }
        self._relative = bool(relative)
        self._include = include
        self._exclude = exclude

    def targets(self, model):
        """`[(variable, threshold)]`; raises where an expression matches nothing."""
        require_built(model, "kerasreg threshold pruning")
        trainable = model.trainable_variables
        chosen = [
            variable
            for variable in trainable
            if _found(self._include, variable, len(variable.shape) > 1)
            and not _found(self._exclude, variable, False)
        ]
        targets, used = [], set()
        for variable in chosen:
            for pattern, threshold in self._thresholds.items():
                if re.search(pattern, variable.path):
                    targets.append((variable, threshold))
                    used.add(pattern)
                    break
        unused = [pattern for pattern in self._thresholds if pattern not in used]
        idle = [
            pattern
            for pattern in (self._include, self._exclude)
            if pattern is not None and not any(re.search(pattern, v.path) for v in trainable)
        ]
        if unused or idle:
            raise ValueError(
                f"The expressions {[*idle, *unused]} select no variable to prune in "
                f"'{model.name}'. The trainable variables are {[v.path for v in trainable]}."
            )
        return targets

    def apply(self, targets):
        """Prune, and return `{path: how many weights became zero}`."""
        report = {}
        for variable, threshold in targets:
            weights = np.asarray(ops.convert_to_numpy(variable)).astype("float32")
            if not np.isfinite(weights).all():
                raise ValueError(
                    f"'{variable.path}' has {int((~np.isfinite(weights)).sum())} NaN or infinite "
                    "weights, which no threshold can judge. Lower the learning rate, or restore "
                    "an earlier checkpoint."
                )
            limit = threshold * (math.sqrt(float(np.mean(weights**2))) if self._relative else 1.0)
            small = np.abs(weights) < limit
            report[variable.path] = int(np.count_nonzero(small & (weights != 0)))
            value = ops.convert_to_tensor(variable)
            variable.assign(ops.where(ops.convert_to_tensor(small), ops.zeros_like(value), value))
        return report


def epochs_to_prune(at):
    """The zero-based epochs of `at` as a set, empty for `"end"`."""
    if at == "end":
        return frozenset()
    epochs = [at] if isinstance(at, numbers.Integral) else at
    try:
        epochs = frozenset(epochs)
    except TypeError:
        epochs = frozenset({None})
    if not epochs or not all(_is_epoch(epoch) for epoch in epochs):
        raise ValueError(
            '`at` must be "end", or the number of an epoch, or several; the first epoch is 0. '
            f"Received: at={at!r}"
        )
    return epochs


def _is_epoch(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 0


def _found(pattern, variable, default):
    return default if pattern is None else re.search(pattern, variable.path) is not None
