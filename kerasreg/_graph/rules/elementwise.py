"""Rules of elementwise functions of one or more tensors."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops, tree

from kerasreg._graph.analysis import Analysis
from kerasreg._graph.families import SPATIAL_DROPOUT
from kerasreg._graph.precision import compute
from kerasreg._graph.rules.base import (
    COMBINES,
    UNKNOWN,
    WITH_FIXED,
    Rule,
    apply_to,
    is_elementwise,
    rule_for,
    rule_for_classes,
    rule_for_ops,
)
from kerasreg._graph.tracing import Call, Tensor

_UNARY_LAYERS = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.ELU,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.ReLU,
    layers.Rescaling,
    *SPATIAL_DROPOUT,
)
_UNARY_OPS = (
    *("Abs", "Absolute", "Cast", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Expm1", "Gelu"),
    *("HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu", "LogSigmoid", "Negative"),
    *("Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Sin", "SoftShrink", "Softplus", "Softsign"),
    *("Squareplus", "Square", "Sqrt", "Tanh", "TanhShrink", "Threshold", "ZerosLike", "OnesLike"),
    "LogicalNot",
)
_BINARY_OPS = (
    *("Add", "Divide", "Maximum", "Minimum", "Multiply", "Power", "Subtract", "TrueDivide"),
    *("Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual", "Where"),
    *("LogicalAnd", "LogicalOr", "LogicalXor"),
)
_MULTIPLIES = ("Multiply",)
#: Layers that ignore masked steps of some inputs, so that other inputs determine the output.
_LOOK_AT_MASKS = (layers.Maximum, layers.Minimum, layers.Multiply)


@rule_for(*_UNARY_LAYERS)
@rule_for_ops(*_UNARY_OPS)
class Elementwise(Rule):
    """The rule of an elementwise layer without weights: its output has the shape of its input.

    Example:

    >>> class Doubled(keras.layers.Layer):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> @kerasreg.shrinking.rule_for(Doubled)
    ... class DoubledRule(kerasreg.shrinking.Elementwise):
    ...     pass
    >>> stack = [keras.layers.Dense(8), Doubled(), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((4,)), *stack])
    >>> plan = kerasreg.prune(model, 0.5, pattern="unit", exclude="dense_1")
    >>> kerasreg.shrink(model)[0].layers[0].units
    4
    """

    def label(self, call: Call, analysis: Analysis) -> None:
        if type(self) is Elementwise and getattr(call.operation, "weights", None):
            UNKNOWN.label(call, analysis)
            return
        tensor, (output,) = call.inputs[0], call.outputs
        output.labels = dict(tensor.labels)
        for name, shape in _arrays(call.operation):
            for axis, labels in tensor.labels.items():
                own = axis - tensor.rank + len(shape)
                if own >= 0 and shape[own] != 1:
                    reason = f"`{name}` of '{call.operation.name}' has a fixed size along the axis"
                    analysis.labels.pin(labels, reason)

    def constants(self, call: Call, analysis: Analysis) -> None:
        tensor, (output,) = call.inputs[0], call.outputs
        # `noise_shape` has no effect in inference.
        arrays = [name for name, _ in _arrays(call.operation) if name != "noise_shape"]
        if not tensor.constants or not output.labels or arrays:
            return
        if tensor.is_masked and getattr(call.operation, "_call_has_mask_arg", False):
            # Its outputs at masked steps are unknown.
            return
        function = self.function(call.operation)
        keeps_zero = bool(apply_to(function, np.zeros(1))[0] == 0)
        output.padding = tensor.padding if keeps_zero else None
        for axis, constants in tensor.constants.items():
            known = constants if keeps_zero else without_padding(tensor, constants)
            output.constants[axis] = apply_to(function, known)

    def function(self, operation: keras.Operation) -> Callable:
        """Returns the function that the operation computes in inference."""
        return operation.call


@rule_for(layers.Activation)
class _Activation(Elementwise):
    def label(self, call, analysis):
        super().label(call, analysis)
        if not is_elementwise(call.operation.activation):
            analysis.pin(call.outputs[0], f"'{call.operation.name}' {COMBINES}")

    def constants(self, call, analysis):
        if is_elementwise(call.operation.activation):
            super().constants(call, analysis)

    def function(self, operation):
        return operation.activation


@rule_for(layers.PReLU)
class _PReLU(Elementwise):
    """The slopes, for negative inputs only, have the labels of the input except on shared axes."""

    def label(self, call, analysis):
        super().label(call, analysis)
        layer, (tensor,) = call.operation, call.inputs
        for axis, labels in tensor.labels.items():
            if layer.alpha.shape[axis - 1] == 1 < tensor.shape[axis]:
                continue
            analysis.slice(layer.alpha, {axis - 1: labels})

    def constants(self, call, analysis):
        (tensor,), (output,) = call.inputs, call.outputs
        for axis, constants in tensor.constants.items():
            output.constants[axis] = np.where(constants >= 0, constants, np.nan)
        output.padding = tensor.padding


@rule_for(layers.Add, layers.Average, layers.Maximum, layers.Minimum)
@rule_for(layers.Multiply, layers.Subtract)
@rule_for_ops(*_BINARY_OPS)
@rule_for_classes("keras.src.applications.inception_resnet_v2", "CustomScaleLayer")
class _Broadcast(Rule):
    def label(self, call, analysis):
        (output,) = call.outputs
        for axis in range(output.rank):
            self._unify(axis, call, analysis)

    def constants(self, call, analysis):
        (output,) = call.outputs
        for axis in output.labels:
            constants = self._constants(axis, call, output)
            if constants is not None:
                output.constants[axis] = constants

    def _constants(self, axis, call, output):
        size = output.shape[axis]
        parts = [_along(each, axis, output) for each in _operands(call)]
        if any(part is None for part in parts):
            return None
        parts = [np.broadcast_to(part, size) for part in parts]
        if isinstance(call.operation, _LOOK_AT_MASKS) and any(e.is_masked for e in call.inputs):
            same = np.all([part == parts[0] for part in parts], axis=0)
            if isinstance(call.operation, layers.Multiply):
                same &= parts[0] == 0
            return np.where(same, parts[0], np.nan)
        known = np.all([np.isfinite(part) for part in parts], axis=0)

        def function(*tensors):
            filled = iter(tensors)
            args, kwargs = tree.map_structure(
                lambda each: next(filled) if _is_operand(each) else each, (call.args, call.kwargs)
            )
            return call.operation.call(*args, **kwargs)

        values = compute(function, *map(np.nan_to_num, parts))
        constants = np.where(known, values, np.nan)
        if type(call.operation).__name__ in _MULTIPLIES:
            constants[np.any([part == 0 for part in parts], axis=0)] = 0.0
        return constants

    def _unify(self, axis, call, analysis):
        (output,) = call.outputs
        found = []
        for each in _operands(call):
            shape = each.shape if isinstance(each, Tensor) else np.shape(each)
            own = axis - output.rank + len(shape)
            if own >= 0 and (shape[own] != 1 or output.shape[axis] == 1):
                found.append(each.labels.get(own) if isinstance(each, Tensor) else None)
        labels = [each for each in found if each is not None]
        for each in labels:
            if len(labels) < len(found):
                analysis.labels.pin(each, f"'{call.operation.name}' {WITH_FIXED}")
            analysis.labels.unify(each, labels[0])
            output.labels[axis] = labels[0]


def without_padding(tensor, constants):
    """Returns the constants that padding with zeros does not change, NaN for the others."""
    return constants if tensor.padding is None else np.where(constants == 0, 0.0, np.nan)


def _is_operand(each):
    is_number = isinstance(each, (int, float)) and not isinstance(each, bool)
    return is_number or isinstance(each, Tensor) or hasattr(each, "shape")


def _operands(call):
    found = []
    for each in (*call.args, *call.kwargs.values()):
        leaves = tree.flatten(each)
        if isinstance(each, (list, tuple)) and not any(isinstance(e, Tensor) for e in leaves):
            found.append(np.asarray(each))
        else:
            found += [leaf for leaf in leaves if _is_operand(leaf)]
    return found


def _arrays(operation):
    """Yields `(name, shape)` of `noise_shape` and of all arrays in a Keras operation."""
    if not type(operation).__module__.startswith("keras.src."):
        return
    for name, value in vars(operation).items():
        if name == "noise_shape" and value is not None:
            yield name, [1 if each is None else each for each in value]
        elif not name.startswith("_") and not name.endswith("axes") and _are_numbers(value):
            yield name, np.shape(value)


def _are_numbers(value):
    if isinstance(value, keras.Variable):
        return False
    is_list = isinstance(value, (list, tuple, np.ndarray)) and np.size(value) > 0
    return ops.is_tensor(value) or (is_list and np.asarray(value).dtype.kind in "fiu")


def _along(operand, axis, output):
    """Returns constants of an operand along an output axis, NaN if varying, or None if unknown."""
    if not isinstance(operand, Tensor):
        array = np.asarray(ops.convert_to_numpy(operand), "float64")
        return array.reshape(()) if array.size == 1 else None
    own, size = axis - output.rank + operand.rank, output.shape[axis]
    if own < 0 or operand.shape[own] != size:
        return np.full(size, np.nan)
    return without_padding(operand, operand.constant(own))
