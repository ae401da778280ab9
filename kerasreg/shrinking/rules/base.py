"""What a rule is, and the registry of rules."""

import functools

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
        """Tell which coordinates of the outputs have the same value everywhere."""

    def readers(self, call, analysis):
        """The `Reader`s of a call."""
        return []

    def config(self, call, kept):
        """What changes in the config of a layer; `kept(labels)` is how many of them stay."""
        return {}

    def with_bias(self, layer):
        """What changes in the config of a layer that needs its biases."""
        return {"use_bias": True}

    def arguments(self, call, args, kwargs, kept):
        """The arguments of the new call, where sizes are among them."""
        return args, kwargs

    def scales(self, call, kept):
        """`(variable, factor)` of those that are multiplied by a number."""
        return []

    def finish(self, layer):
        """What is to be done with a new layer that has its weights."""


def rule_for(*classes):
    """Register a `Rule` class for these layers, and for what inherits their `call`."""

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
    cls = type(operation)
    for base in cls.__mro__:
        if base in _RULES:
            # Who computes something else is not known.
            return _RULES[base] if cls.call is base.call else _UNKNOWN
    if cls.__module__.startswith("keras.src.ops."):
        return _OPS.get(cls.__name__, _UNKNOWN)
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


def flat(*labels):
    """The labels of several axes, for their flattened coordinates: `(axes, coordinates)`."""
    return np.stack([each.reshape(-1) for each in np.meshgrid(*labels, indexing="ij")])


def apply_to(function, constants):
    """An elementwise function of constants, which leaves NaN where it is."""
    known = np.isfinite(constants)
    values = ops.convert_to_numpy(function(ops.convert_to_tensor(np.where(known, constants, 0.0))))
    return np.where(known, np.asarray(values, "float64"), np.nan)


@functools.lru_cache(maxsize=256)
def is_elementwise(function):
    """Whether an activation treats every number alone."""
    probes = ops.convert_to_tensor([[0.3, -0.7, 1.1], [0.3, -0.7, 2.2]])
    values = np.asarray(ops.convert_to_numpy(function(probes)))
    return values.shape == (2, 3) and bool((values[0, :2] == values[1, :2]).all())


def pin_other_axes(tensor, axis, call, analysis):
    """All axes but one must stay."""
    for other, labels in tensor.labels.items():
        if other != axis % tensor.rank:
            analysis.labels.pin(labels, f"'{call.operation.name}' works along it")


_UNKNOWN = Rule()
"""The rule of what is not known."""
