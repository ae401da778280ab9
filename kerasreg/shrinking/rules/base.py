"""What a rule is, and the registry of rules."""

import numpy as np
from keras import ops

_RULES, _OPS = {}, {}


class Rule:
    """What an operation does to labels and constants. This one knows nothing, so all must stay."""

    def label(self, call, analysis):
        """Give the outputs of a call their labels, and say which variables have them."""
        for tensor in call.inputs:
            analysis.pin(tensor, f"'{call.operation.name}' ({kind(call)}) has no rule")

    def constants(self, call, analysis):
        """Tell which coordinates of the outputs always have the same value."""

    def readers(self, call, analysis):
        """The `Reader`s of a call."""
        return []

    def config(self, call, kept):
        """What changes in the config of a layer; `kept(labels)` is how many of them stay."""
        return {}


def rule_for(*classes):
    """Register a `Rule` class for these operations, and what inherits from them."""

    def register(rule):
        _RULES.update(dict.fromkeys(classes, rule()))
        return rule

    return register


def rule_for_ops(*names):
    """Register a `Rule` class for the operations of `keras.ops` whose classes have these names."""

    def register(rule):
        # The classes of `keras.ops` in a graph have no public place.
        _OPS.update(dict.fromkeys(names, rule()))
        return rule

    return register


def rule_of(operation):
    """The rule of an operation."""
    for cls in type(operation).__mro__:
        if cls in _RULES:
            return _RULES[cls]
    if type(operation).__module__.startswith("keras.src.ops."):
        return _OPS.get(type(operation).__name__, _UNKNOWN)
    return _UNKNOWN


def kind(call):
    """The class of an operation, for messages."""
    return type(call.operation).__name__


def numpy(variable):
    """A variable in float64."""
    return np.asarray(ops.convert_to_numpy(variable)).astype("float64")


def labels_of(tensor, axis):
    """The labels of an axis; 0, which must stay, where it has none."""
    labels = tensor.label(axis)
    return np.zeros(tensor.shape[axis], int) if labels is None else labels


def constants_of(tensor, axis):
    """The constants along an axis; NaN where there is none."""
    axis %= tensor.rank
    if tensor.constants is None or list(tensor.labels) != [axis]:
        return np.full(tensor.shape[axis] or 0, np.nan)
    return tensor.constants


def apply_to(function, constants):
    """An elementwise function of constants, which leaves NaN where it is."""
    known = np.isfinite(constants)
    values = ops.convert_to_numpy(function(ops.convert_to_tensor(np.where(known, constants, 0.0))))
    return np.where(known, np.asarray(values, "float64"), np.nan)


def is_elementwise(function):
    """Whether an activation treats every number alone."""
    probes = ops.convert_to_tensor([[0.3, -0.7, 1.1], [0.3, -0.7, 2.2]])
    values = ops.convert_to_numpy(function(probes))
    return values.shape == (2, 3) and bool((values[0, :2] == values[1, :2]).all())


_UNKNOWN = Rule()
