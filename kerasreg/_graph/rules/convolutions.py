"""Rules of convolutions, with and without groups of channels."""

import numpy as np
from keras import layers

from kerasreg._graph.rules.base import (
    Rule,
    apply_to,
    is_elementwise,
    labels_of,
    numpy,
    pin_other_axes,
    rule_for,
)
from kerasreg._graph.rules.kernels import Kernel, feature_axis, pin_if_mixed
from kerasreg._graph.rules.linear import read_kernel


class _Conv(Kernel):
    def is_uniform(self, layer):
        return layer.padding == "valid" or max(layer.kernel_size) == 1


@rule_for(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
class _ConvTranspose(Kernel):
    reads, writes = -1, -2

    def is_uniform(self, layer):
        return False


class _Grouped(Rule):
    """A convolution with groups of channels: a group is removed as a whole.

    Args:
        reads: the input axis of the kernel, or None.
        writes: the output axis of the kernel, or None.
    """

    def __init__(self, reads=None, writes=None):
        self._reads, self._writes = reads, writes

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        pin_other_axes(tensor, axis, call, analysis)
        labels = tensor.label(axis)
        if labels is None:
            return
        groups = getattr(layer, "groups", len(labels))
        analysis.is_coarse |= groups < len(labels)
        first = labels.reshape(groups, -1)[:, :1]
        analysis.labels.unify(labels.reshape(groups, -1), first)
        output.labels[axis] = np.repeat(first.reshape(-1), output.shape[axis] // groups)
        if self._reads is not None:
            analysis.slice(layer.kernel, {self._reads: labels})
        if self._writes is not None:
            analysis.slice(layer.kernel, {self._writes: output.labels[axis]})
        analysis.slice(layer.bias, {0: output.labels[axis]})
        pin_if_mixed(layer, output, analysis)

    def constants(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        kernel = numpy(layer.kernel)
        # (positions, inputs of a group, outputs)
        per_group = 1 if self._reads is not None else kernel.shape[-2]
        kernel = kernel.reshape(-1, per_group, output.shape[axis])
        inputs = tensor.constant(axis).reshape(-1, per_group)
        inputs = np.repeat(inputs, output.shape[axis] // len(inputs), axis=0).T
        is_uniform = layer.padding == "valid" or len(kernel) == 1
        known = inputs == 0
        if is_uniform and tensor.padding is None:
            known |= np.isfinite(inputs)
        varies = ((kernel != 0) & ~known).any(axis=(0, 1))
        values = (np.where(known, inputs, 0.0) * kernel.sum(axis=0)).sum(axis=0)
        if layer.bias is not None:
            values = values + numpy(layer.bias)
        if is_elementwise(layer.activation):
            values = np.where(varies, np.nan, values)
            output.constants[axis] = apply_to(layer.activation, values)

    def config(self, call, kept):
        layer, (output,) = call.operation, call.outputs
        labels = output.label(feature_axis(layer, output))
        if self._writes is None or labels is None:
            return {}
        filters = kept(labels)
        return {"filters": filters, "groups": layer.groups * filters // layer.filters}


rule_for(layers.DepthwiseConv1D, layers.DepthwiseConv2D)(lambda: _Grouped(reads=-2))


@rule_for(layers.Conv1D, layers.Conv2D, layers.Conv3D)
class _AnyConv(Rule):
    """A convolution with or without groups."""

    def __init__(self):
        self._plain, self._grouped = _Conv(), _Grouped(writes=-1)

    def label(self, call, analysis):
        self._rule(call).label(call, analysis)

    def constants(self, call, analysis):
        self._rule(call).constants(call, analysis)

    def readers(self, call, analysis):
        return self._rule(call).readers(call, analysis)

    def config(self, call, kept):
        return self._rule(call).config(call, kept)

    def _rule(self, call):
        return self._plain if call.operation.groups == 1 else self._grouped


@rule_for(layers.SeparableConv1D, layers.SeparableConv2D)
class _Separable(Kernel):
    """A depthwise convolution and a pointwise one."""

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        pin_other_axes(tensor, axis, call, analysis)
        output.labels[axis] = analysis.labels.new(layer.filters)
        labels = labels_of(tensor, axis)
        analysis.slice(layer.depthwise_kernel, {-2: labels})
        labels = np.repeat(labels, layer.depth_multiplier)
        analysis.slice(layer.pointwise_kernel, {-2: labels, -1: output.labels[axis]})
        analysis.slice(layer.bias, {0: output.labels[axis]})
        pin_if_mixed(layer, output, analysis)

    def _reader(self, call):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        depthwise = numpy(layer.depthwise_kernel)
        depthwise = depthwise.reshape(-1, depthwise.shape[-2] * depthwise.shape[-1])
        passes, sums = (depthwise != 0).any(axis=0), depthwise.sum(axis=0)
        constants = np.repeat(tensor.constant(axis), layer.depth_multiplier)
        # A zero filter gives zeros; a constant input is multiplied by the sum of its filter.
        is_uniform = layer.padding == "valid" and tensor.padding is None
        constants = np.where(is_uniform | (constants == 0), constants * sums, np.nan)
        reader = read_kernel(
            layer.pointwise_kernel,
            (-2,),
            (-1,),
            (np.repeat(labels_of(tensor, axis), layer.depth_multiplier),),
            (output.label(axis),),
            constants=np.where(passes, constants, 0.0),
            bias=(layer, "bias", 0) if is_uniform else None,
            share=id(layer),
        )
        # Each input has its own depthwise filter, so no input can carry the constant of another.
        reader.kernel = None
        return reader
