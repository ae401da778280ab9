"""The base class of rules, and the registry of rules."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._graph.analysis import Analysis, Reader
from kerasreg._graph.precision import compute
from kerasreg._graph.tracing import Call

_RULES: dict[type, "Rule"] = {}
_NAMED: dict[tuple[str, str], "Rule"] = {}
_HARMLESS = {"build", "get_config", "from_config", "compute_output_shape", "compute_mask"}

#: Reasons in reports, after the name of an operation.
COMBINES = "combines units across the axis, so they cannot be removed one by one"
_NEXT_STEP = "build it as a Functional model, or register a rule (`kerasreg.shrinking.rule_for`)"
WITH_FIXED = "combines the units with a tensor that cannot shrink"


class Rule:
    """Describes how a class of layers passes on labels and constants, for `kerasreg.shrink`.

    Subclasses override these methods. The base class keeps all units of the inputs of a layer.

    Example:

    >>> class Reversed(keras.layers.Layer):
    ...     def call(self, inputs):
    ...         return keras.ops.flip(inputs, axis=-1)
    >>> @kerasreg.shrinking.rule_for(Reversed)
    ... class ReversedRule(kerasreg.shrinking.Rule):
    ...     def label(self, call, analysis):
    ...         (tensor,), (output,) = call.inputs, call.outputs
    ...         if tensor.label(-1) is not None:
    ...             output.labels = {output.rank - 1: tensor.label(-1)[::-1]}
    >>> stack = [keras.layers.Dense(8), Reversed(), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((4,)), *stack])
    >>> plan = kerasreg.prune(model, 0.5, pattern="input", include="dense_1/kernel")
    >>> kerasreg.shrink(model)[0].layers[0].units
    4
    """

    def label(self, call: Call, analysis: Analysis) -> None:
        """Sets the labels of the outputs and registers the variables that have these labels."""
        reason = f"'{call.operation.name}' ({kind(call)}) has no rule"
        if getattr(call.operation, "weights", None):
            analysis.note(f"{reason}: {_NEXT_STEP}")
        for tensor in call.inputs:
            analysis.pin(tensor, reason)

    def constants(self, call: Call, analysis: Analysis) -> None:
        """Sets the coordinates of the outputs that have the same value for every input."""

    def readers(self, call: Call, analysis: Analysis) -> list[Reader]:
        """Returns the `Reader`s of a call."""
        return []

    def config(self, call: Call, kept: Callable) -> dict[str, Any]:
        """Returns the changes in the config of a layer.

        Args:
            kept: a function that returns how many of an array of labels are kept.
        """
        return {}

    def with_bias(self, layer: keras.Layer) -> dict[str, Any]:
        """Returns the changes in the config of a layer that needs a bias."""
        return {"use_bias": True}

    def arguments(
        self, call: Call, args: tuple, kwargs: dict[str, Any], kept: Callable
    ) -> tuple[tuple, dict[str, Any]]:
        """Returns the arguments of the new call, with the new sizes."""
        return args, kwargs

    def scales(self, call: Call, kept: Callable) -> list[tuple]:
        """Returns `(variable, factor)` for variables that must be multiplied by a number."""
        return []

    def finish(self, layer: keras.Layer, new: keras.Layer) -> None:
        """Changes the new layer after its weights are set."""


def rule_for(*classes: type) -> Callable:
    """Registers a `Rule` class for layers, and for subclasses that inherit their `call`.

    Example:

    >>> class Halved(keras.layers.Layer):
    ...     def call(self, inputs):
    ...         return inputs / 2
    >>> rule = kerasreg.shrinking.rule_for(Halved)(kerasreg.shrinking.Elementwise)
    """

    def register(rule):
        _RULES.update(dict.fromkeys(classes, rule()))
        return rule

    return register


def rule_for_classes(module, *names):
    """Registers a `Rule` class for classes of these names in modules with this prefix."""

    def register(rule):
        _NAMED.update(dict.fromkeys([(module, name) for name in names], rule()))
        return rule

    return register


def rule_for_ops(*names):
    """Registers a `Rule` class for operations of `keras.ops`, which have no public classes."""
    return rule_for_classes("keras.src.ops.", *names)


def rule_of(operation):
    """Returns the rule of an operation."""
    cls = type(operation)
    for place, base in enumerate(cls.__mro__):
        if base in _RULES:
            return UNKNOWN if any(map(_computes, cls.__mro__[:place])) else _RULES[base]
    for (module, name), rule in _NAMED.items():
        if cls.__name__ == name and cls.__module__.startswith(module):
            return rule
    return UNKNOWN


def _computes(cls):
    """Returns whether a class overrides methods that define the computation of its base class."""
    methods = {name for name, each in vars(cls).items() if callable(each)}
    return any(not name.startswith("__") for name in methods - _HARMLESS)


def kind(call):
    """Returns the name of the class of an operation, for messages."""
    return type(call.operation).__name__


def numpy(variable):
    """Returns a variable as a float64 array."""
    return np.asarray(ops.convert_to_numpy(variable)).astype("float64")


def labels_of(tensor, axis):
    """Returns the labels of an axis: zeros, which are never removed, if it has no labels."""
    labels = tensor.label(axis)
    return np.zeros(tensor.shape[axis], int) if labels is None else labels


def flat(*labels):
    """Returns the labels of flattened axes, as an array `(number of axes, coordinates)`."""
    return np.stack([each.reshape(-1) for each in np.meshgrid(*labels, indexing="ij")])


def apply_to(function, constants):
    """Applies an elementwise function to constants; NaN stays NaN."""
    known = np.isfinite(constants)
    return np.where(known, compute(function, np.where(known, constants, 0.0)), np.nan)


@functools.lru_cache(maxsize=256)
def is_elementwise(function):
    """Returns whether an activation is elementwise, for tensors of any rank."""
    numbers = np.array([0.3, -0.7, 1.1, 0.0, -2.5, 6.5, 0.4, 1.0])
    try:
        with warnings.catch_warnings():
            # Keras warns of a softmax over an axis of size 1.
            warnings.simplefilter("ignore")
            alone = _applied(function, numbers.reshape(-1, 1))
            others = [
                _applied(function, numbers.reshape(shape))
                for shape in ((2, 4), (1, 2, 4), (2, 2, 2), (2, 1, 2, 2))
            ]
        return all(np.allclose(each.ravel(), alone.ravel(), 1e-5, 1e-6) for each in others)
    except Exception:
        # It requires or returns tensors of another shape.
        return False


def _applied(function, numbers):
    tensor = ops.convert_to_tensor(numbers, dtype="float32")
    values = np.asarray(ops.convert_to_numpy(function(tensor)), "float64")
    if values.shape != numbers.shape:
        raise ValueError("The function changes the shape.")
    return values


def pin_other_axes(tensor, axis, call, analysis):
    """Keeps all units of all axes except one."""
    for other, labels in tensor.labels.items():
        if other != axis % tensor.rank:
            analysis.labels.pin(labels, f"'{call.operation.name}' needs all units of the axis")


class Pinned(Rule):
    """The rule of an operation that is not changed, with the reason."""

    def __init__(self, reason):
        self._reason = reason

    def label(self, call, analysis):
        if getattr(call.operation, "weights", None):
            analysis.note(self._reason)
        for tensor in call.inputs:
            analysis.pin(tensor, self._reason)


#: The rule of operations for which no rule is registered.
UNKNOWN = Rule()
