"""Kernels that read one axis and write another: dense layers, convolutions, embeddings."""

import numpy as np
from keras import layers

from kerasreg.shrinking.analysis import Reader
from kerasreg.shrinking.rules.base import (
    Rule,
    apply_to,
    constants_of,
    is_elementwise,
    labels_of,
    numpy,
    rule_for,
)


class _Kernel(Rule):
    """A kernel with an axis of inputs and one of outputs.

    `reads` and `writes` are those axes, `size_name` is the output's name in the config.
    """

    reads, writes, size_name = -2, -1, "filters"

    def axis(self, layer, tensor):
        """The axis of the tensor that the kernel reads; the output's is the same."""
        is_first = getattr(layer, "data_format", None) == "channels_first"
        return 1 if is_first else tensor.rank - 1

    def is_uniform(self, layer):
        """Whether a constant input gives the same output everywhere."""
        return layer.padding == "valid"

    def can_shrink(self, layer):
        """Whether this rule holds for a layer."""
        return True

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        if not self.can_shrink(layer):
            super().label(call, analysis)
            return
        axis = self.axis(layer, tensor)
        for other, labels in tensor.labels.items():
            if other != axis and not self._keeps(other, axis, layer):
                analysis.labels.pin(labels, f"'{layer.name}' works along it")
            elif other != axis:
                output.labels[other] = labels
        output.labels[axis] = analysis.labels.new(layer.kernel.shape[self.writes])
        axes = {self.reads: tensor.label(axis), self.writes: output.labels[axis]}
        analysis.slice(layer.kernel, axes)
        analysis.slice(layer.bias, {0: output.labels[axis]})
        if not is_elementwise(layer.activation):
            analysis.pin(output, f"the activation of '{layer.name}' mixes its units")

    def constants(self, call, analysis):
        layer, (output,) = call.operation, call.outputs
        if not self.can_shrink(layer):
            return
        (reader,) = self.readers(call, analysis)
        known = reader.constants == 0
        if reader.uniform:
            known |= np.isfinite(reader.constants)
        sums = np.where(known, reader.constants, 0.0) @ reader.sums
        if layer.bias is not None:
            sums = sums + numpy(layer.bias)
        values = np.where(reader.connected[~known].any(axis=0), np.nan, sums)
        if is_elementwise(layer.activation) and len(output.labels) == 1:
            output.constants = apply_to(layer.activation, values)

    def readers(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        if not self.can_shrink(layer):
            return []
        axis = self.axis(layer, tensor)
        kernel = np.moveaxis(numpy(layer.kernel), (self.reads, self.writes), (0, 1))
        others = tuple(range(2, kernel.ndim))
        return [
            Reader(
                layer,
                labels=labels_of(tensor, axis),
                writes=output.label(axis),
                constants=constants_of(tensor, axis),
                connected=(kernel != 0).any(axis=others),
                sums=kernel.sum(axis=others),
                uniform=self.is_uniform(layer),
                kernel=layer.kernel,
                axis=self.reads,
            )
        ]

    def config(self, call, kept):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        if not self.can_shrink(layer):
            return {}
        return {self.size_name: kept(output.label(self.axis(layer, tensor)))}

    def _keeps(self, axis, feature_axis, layer):
        return False


@rule_for(layers.Dense)
class _Dense(_Kernel):
    size_name = "units"

    def is_uniform(self, layer):
        return True

    def can_shrink(self, layer):
        return not layer.lora_enabled and layer.quantization_mode is None

    def _keeps(self, axis, feature_axis, layer):
        return True


@rule_for(layers.Conv1D, layers.Conv2D, layers.Conv3D)
class _Conv(_Kernel):
    """Also with as many groups as channels, which makes it depthwise."""

    def label(self, call, analysis):
        rule = _GROUPED if _is_depthwise(call.operation) else super()
        rule.label(call, analysis)

    def constants(self, call, analysis):
        rule = _GROUPED if _is_depthwise(call.operation) else super()
        rule.constants(call, analysis)

    def config(self, call, kept):
        rule = _GROUPED if _is_depthwise(call.operation) else super()
        return rule.config(call, kept)

    def is_uniform(self, layer):
        return layer.padding == "valid" or max(layer.kernel_size) == 1

    def can_shrink(self, layer):
        return layer.groups == 1 and layer.padding != "causal" and not layer.lora_enabled


@rule_for(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
class _ConvTranspose(_Kernel):
    reads, writes = -1, -2

    def is_uniform(self, layer):
        return False


@rule_for(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
class _Depthwise(Rule):
    """Every channel has filters of its own: output `c * multiplier + j` belongs to input `c`."""

    channels = -2

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = _channels(layer, tensor)
        labels = tensor.label(axis)
        for other in tensor.labels:
            if other != axis:
                analysis.labels.pin(tensor.labels[other], f"'{layer.name}' works along it")
        if labels is None:
            return
        output.labels[axis] = np.repeat(labels, output.shape[axis] // len(labels))
        analysis.slice(layer.kernel, {self.channels: labels})
        analysis.slice(layer.bias, {0: output.labels[axis]})
        if not is_elementwise(layer.activation):
            analysis.pin(output, f"the activation of '{layer.name}' mixes its channels")

    def constants(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = _channels(layer, tensor)
        if output.label(axis) is None:
            return
        kernel = numpy(layer.kernel)
        kernel = kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1])
        inputs = constants_of(tensor, axis)
        inputs = np.repeat(inputs, output.shape[axis] // len(inputs))
        is_uniform = layer.padding == "valid" or len(kernel) == 1
        known = (inputs == 0) | (kernel == 0).all(axis=0) | (np.isfinite(inputs) & is_uniform)
        values = np.where(np.isfinite(inputs), inputs, 0.0) * kernel.sum(axis=0)
        if layer.bias is not None:
            values = values + numpy(layer.bias)
        if is_elementwise(layer.activation) and len(output.labels) == 1:
            output.constants = apply_to(layer.activation, np.where(known, values, np.nan))


class _GroupedConv(_Depthwise):
    """A convolution with as many groups as channels: the kernel is `(..., 1, channels)`."""

    channels = -1

    def config(self, call, kept):
        (output,) = call.outputs
        size = kept(output.label(_channels(call.operation, output)))
        return {"filters": size, "groups": size}


_GROUPED = _GroupedConv()


def _is_depthwise(layer):
    return 1 < layer.groups == layer.filters and layer.kernel.shape[-2] == 1


@rule_for(layers.SeparableConv1D, layers.SeparableConv2D)
class _Separable(_Kernel):
    """A depthwise convolution and a pointwise one."""

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = self.axis(layer, tensor)
        for other in tensor.labels:
            if other != axis:
                analysis.labels.pin(tensor.labels[other], f"'{layer.name}' works along it")
        output.labels[axis] = analysis.labels.new(layer.filters)
        labels = tensor.label(axis)
        if labels is not None:
            analysis.slice(layer.depthwise_kernel, {-2: labels})
            labels = np.repeat(labels, layer.depth_multiplier)
        analysis.slice(layer.pointwise_kernel, {-2: labels, -1: output.labels[axis]})
        analysis.slice(layer.bias, {0: output.labels[axis]})
        if not is_elementwise(layer.activation):
            analysis.pin(output, f"the activation of '{layer.name}' mixes its units")

    def readers(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = self.axis(layer, tensor)
        depthwise = numpy(layer.depthwise_kernel)
        depthwise = depthwise.reshape(-1, *depthwise.shape[-2:])
        pointwise = numpy(layer.pointwise_kernel).reshape(*depthwise.shape[1:], -1)
        passes = (depthwise != 0).any(axis=0)[..., None]
        return [
            Reader(
                layer,
                labels=labels_of(tensor, axis),
                writes=output.label(axis),
                constants=constants_of(tensor, axis),
                connected=(passes & (pointwise != 0)).any(axis=1),
                sums=np.einsum("im,imo->io", depthwise.sum(axis=0), pointwise),
                uniform=layer.padding == "valid",
                # Nothing can carry others: each has a filter of its own.
                kernel=None,
                axis=0,
            )
        ]


@rule_for(layers.Embedding)
class _Embedding(Rule):
    def label(self, call, analysis):
        layer, (output,) = call.operation, call.outputs
        output.labels[output.rank - 1] = analysis.labels.new(layer.output_dim)
        analysis.slice(layer._embeddings, {1: output.labels[output.rank - 1]})

    def constants(self, call, analysis):
        table = numpy(call.operation._embeddings)
        is_same = (table == table[:1]).all(axis=0)
        call.outputs[0].constants = np.where(is_same, table[0], np.nan)

    def config(self, call, kept):
        (output,) = call.outputs
        return {"output_dim": kept(output.label(-1))}


def _channels(layer, tensor):
    return 1 if layer.data_format == "channels_first" else tensor.rank - 1
