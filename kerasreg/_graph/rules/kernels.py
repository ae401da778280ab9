"""Rules of dense layers and embeddings: kernels with an input and an output axis."""

import numpy as np
from keras import layers

from kerasreg._graph.rules.base import (
    COMBINES,
    Rule,
    apply_to,
    is_elementwise,
    labels_of,
    numpy,
    pin_other_axes,
    rule_for,
)
from kerasreg._graph.rules.linear import outputs_of, read_kernel


class Kernel(Rule):
    """The rule of a layer whose kernel has an input axis and an output axis.

    Attributes:
        reads, writes: the input axis and the output axis of the kernel.
        size_name: name of the output size in the config.
    """

    reads, writes, size_name = -2, -1, "filters"

    def is_uniform(self, layer):
        """Returns whether a constant input gives the same output at all positions."""
        return layer.padding == "valid"

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        self._label_others(axis, call, analysis)
        output.labels[axis] = analysis.labels.new(layer.kernel.shape[self.writes])
        axes = {self.reads: tensor.label(axis), self.writes: output.labels[axis]}
        analysis.slice(layer.kernel, axes)
        analysis.slice(layer.bias, {0: output.labels[axis]})
        pin_if_mixed(layer, output, analysis)

    def constants(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        (reader,) = self.readers(call, analysis)
        if is_elementwise(layer.activation):
            values = apply_to(layer.activation, outputs_of(reader, layer.bias))
            output.constants[feature_axis(layer, tensor)] = values

    def readers(self, call, analysis):
        if "reader" not in call.memory:
            call.memory["reader"] = self._reader(call)
        return [call.memory["reader"]]

    def _reader(self, call):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = feature_axis(layer, tensor)
        is_uniform = self.is_uniform(layer) and tensor.padding is None
        return read_kernel(
            layer.kernel,
            (self.reads,),
            (self.writes,),
            (labels_of(tensor, axis),),
            (output.label(axis),),
            constants=tensor.constant(axis),
            bias=(layer, "bias", 0) if is_uniform else None,
            share=id(layer),
        )

    def config(self, call, kept):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        return {self.size_name: kept(output.label(feature_axis(layer, tensor)))}

    def _label_others(self, axis, call, analysis):
        pin_other_axes(call.inputs[0], axis, call, analysis)


@rule_for(layers.Dense)
class _Dense(Kernel):
    size_name = "units"

    def is_uniform(self, layer):
        return True

    def _label_others(self, axis, call, analysis):
        # The kernel is applied at every position of the other axes.
        tensor, (output,) = call.inputs[0], call.outputs
        output.labels.update({k: v for k, v in tensor.labels.items() if k != axis})


@rule_for(layers.Embedding)
class _Embedding(Rule):
    def label(self, call, analysis):
        layer, (output,) = call.operation, call.outputs
        output.labels[output.rank - 1] = analysis.labels.new(layer.output_dim)
        # The public property `embeddings` is not the variable if the layer has a LoRA adapter.
        analysis.slice(layer._embeddings, {1: output.labels[output.rank - 1]})

    def constants(self, call, analysis):
        (output,) = call.outputs
        table = numpy(call.operation._embeddings)
        # On some devices, ids outside of the table give zeros, so only zeros are constant.
        is_zero = (table == 0).all(axis=0)
        output.constants[output.rank - 1] = np.where(is_zero, 0.0, np.nan)

    def config(self, call, kept):
        (output,) = call.outputs
        return {"output_dim": kept(output.label(-1))}


def feature_axis(layer, tensor):
    """Returns the axis of the features."""
    is_first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if is_first else tensor.rank - 1


def pin_if_mixed(layer, output, analysis):
    """Keeps all units if the activation is not elementwise, such as softmax."""
    if not is_elementwise(layer.activation):
        analysis.pin(output, f"the activation of '{layer.name}' {COMBINES}")
