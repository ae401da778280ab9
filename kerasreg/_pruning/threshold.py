"""Pruning of weights whose magnitude is below a threshold."""

import math
import re
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import listed, nearest
from kerasreg._graph.notes import notes_on
from kerasreg._graph.prunable import prunable
from kerasreg._graph.variables import all_layers, require_built
from kerasreg._statistics.statistics import nonfinite_paths


def prune_below(
    model: keras.Model,
    threshold: float | Mapping[str, float] = 1e-3,
    relative: bool = False,
    include: str | None = None,
    exclude: str | None = None,
) -> dict[str, int]:
    """Sets every weight with `|w| < threshold` to exactly 0, once.

    Args:
        model: a built Keras model.
        threshold: a number >= 0 that magnitudes are compared with, or a dict from regular
            expression to such a number; then the first expression that is found in the path of a
            variable counts, and variables without one are not pruned.
        relative: whether thresholds are multiples of the root mean square of each variable,
            `sqrt(mean(w^2))`, so that one number suits layers of different scale.
        include: regular expression, searched in the paths of the variables to prune. Default: all
            variables that `kerasreg.callbacks.Pruning` prunes (kernels and embeddings, but not
            biases, adapters or the weights of normalizations).
        exclude: regular expression, searched in the paths of variables that are not pruned.

    Returns:
        `{path: number of weights that became zero}`.

    Raises:
        ValueError: for an unbuilt model, an invalid threshold, an expression that matches nothing,
            or NaN or infinite weights. The model is then not changed.

    Example:

    >>> layers = [keras.Input((3,)), keras.layers.Dense(1, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> model.set_weights([np.array([[0.5], [-0.01], [0.0]]), np.zeros(1)])
    >>> kerasreg.prune_below(model, 0.1)
    {'net/dense/kernel': 1}
    """
    pruning = ThresholdRule(threshold, relative, include, exclude)
    return pruning.apply(pruning.targets(model, "kerasreg.prune_below"))


class ThresholdRule:
    """The threshold of each variable, and pruning below it."""

    def __init__(self, threshold, relative, include, exclude):
        given = threshold if isinstance(threshold, Mapping) else {"": threshold}
        if not given:
            expected = "a number, or a dict from regular expression to number that is not empty"
            raise validation.invalid("threshold", threshold, expected)
        for pattern in given:
            validation.expression(pattern, "threshold", is_key=True)
        validation.expression(include, "include")
        validation.expression(exclude, "exclude")
        self._thresholds = {pattern: _validated(value) for pattern, value in given.items()}
        self._relative = validation.flag(relative, "relative")
        self._include = include
        self._exclude = exclude

    def targets(self, model, caller):
        """Returns `[(variable, threshold)]`, or raises if an expression matches nothing."""
        require_built(model, caller)
        trainable = model.trainable_variables
        by_default = {id(variable) for variable in prunable(model)}
        chosen = [
            variable
            for variable in trainable
            if _found(self._include, variable, id(variable) in by_default)
            and not _found(self._exclude, variable, False)
        ]
        targets, used = [], set()
        for variable in chosen:
            for pattern, threshold in self._thresholds.items():
                if re.search(pattern, variable.path):
                    targets.append((variable, threshold))
                    used.add(pattern)
                    break
        unused = [pattern for pattern in self._thresholds if pattern and pattern not in used]
        idle = [
            pattern
            for pattern in (self._include, self._exclude)
            if pattern is not None and not any(re.search(pattern, v.path) for v in trainable)
        ]
        if unused or idle or not targets:
            wanted = " ".join(map(str, [*idle, *unused]))
            raise ValueError(
                f"{self._received([*idle, *unused])} select no variable to prune in "
                f"'{model.name}'. Pass expressions that are found in the paths of its trainable "
                f"variables; {nearest(wanted, [v.path for v in trainable])}."
                f"{_why_not_trainable(model)}"
            )
        return targets

    def apply(self, targets):
        """Prunes, and returns `{path: number of weights that became zero}`."""
        broken = nonfinite_paths([variable for variable, _ in targets])
        if broken:
            raise ValueError(
                f"Pruning needs finite weights. Received: NaN or infinite weights in "
                f"{broken[:10]}. Lower the learning rate, or restore an earlier checkpoint."
            )
        return {variable.path: self._prune(variable, limit) for variable, limit in targets}

    def _prune(self, variable, threshold):
        value = ops.convert_to_tensor(variable)
        weights = np.asarray(ops.convert_to_numpy(value))
        if weights.itemsize < 4:
            weights = weights.astype("float32")
        small = np.abs(weights) < threshold * (_root_mean_square(weights) if self._relative else 1)
        variable.assign(ops.where(ops.convert_to_tensor(small), ops.zeros_like(value), value))
        return int(np.count_nonzero(small & (weights != 0)))

    def _received(self, patterns):
        if patterns:
            return f"The expressions {patterns}"
        return f"include={self._include!r} and exclude={self._exclude!r}"


def epochs_to_prune(at):
    """Returns the epochs of `at`, counted from 0, as a set; empty for `"end"`."""
    if isinstance(at, str) and at == "end":
        return frozenset()
    try:
        epochs = [at] if validation.is_integer(at) else list(at)
    except TypeError:
        epochs = []
    if not epochs or not all(validation.is_integer(each) and each >= 0 for each in epochs):
        expected = '"end", an epoch counted from 0, or several'
        raise validation.invalid("at", at, expected)
    return frozenset(int(epoch) for epoch in epochs)


def _found(pattern, variable, default):
    return default if pattern is None else re.search(pattern, variable.path) is not None


def _validated(threshold):
    meaning = "or a dict from regular expression to such a number"
    return validation.number(threshold, "threshold", at_least=0, meaning=meaning)


def _why_not_trainable(model):
    """Returns reasons why kernels of the model may not be selected."""
    layers = all_layers(model)
    quantized = [layer.path for layer in layers if getattr(layer, "quantization_mode", None)]
    notes = notes_on(model)
    if quantized:
        notes.append(
            f"the kernels of {listed(quantized)} are quantized integers, which cannot be pruned: "
            "prune before `quantize`"
        )
    return "".join(f" ({note}.)" for note in notes)


def _root_mean_square(weights):
    if not weights.size:
        return 0.0
    return math.sqrt(np.mean(np.square(weights, dtype="float64")))
