"""Rules of pooling, padding, cropping and upsampling, which process each channel separately."""

from kerasreg._graph.families import CROPPING, PADDING, POOLING, UP_SAMPLING
from kerasreg._graph.rules.base import Rule, pin_other_axes, rule_for, rule_for_ops
from kerasreg._graph.rules.elementwise import without_padding
from kerasreg._graph.rules.kernels import feature_axis


@rule_for(*POOLING, *CROPPING, *UP_SAMPLING, *PADDING)
class _Spatial(Rule):
    """Changes spatial axes, separately for each channel."""

    def label(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        axis = feature_axis(layer, tensor)
        pin_other_axes(tensor, axis, call, analysis)
        if tensor.label(axis) is not None:
            output.labels[feature_axis(layer, output)] = tensor.label(axis)

    def constants(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        constants = tensor.constant(feature_axis(layer, tensor))
        if isinstance(layer, PADDING):
            output.padding = call
        else:
            constants = without_padding(tensor, constants)
        output.constants[feature_axis(layer, output)] = constants


@rule_for_ops("Pad")
class _Pad(Rule):
    """Padding with zeros or with values of the border."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        for axis, labels in tensor.labels.items():
            if any(call.operation.pad_width[axis]):
                analysis.labels.pin(labels, f"'{call.operation.name}' pads the axis")
            else:
                output.labels[axis] = labels

    def constants(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        is_zero = call.operation.mode == "constant"
        if is_zero and call.kwargs.get("constant_values") not in (None, 0):
            return
        for axis in output.labels:
            constants = tensor.constant(axis)
            output.constants[axis] = constants if is_zero else without_padding(tensor, constants)
        output.padding = call if is_zero else None
