"""The rule of `EinsumDense`, whose kernel has any number of axes."""

import string
from functools import reduce

import keras
import numpy as np
from keras import layers

from kerasreg._graph.rules.base import (
    Rule,
    apply_to,
    is_elementwise,
    labels_of,
    rule_for,
)
from kerasreg._graph.rules.kernels import pin_if_mixed
from kerasreg._graph.rules.linear import outputs_of, read_kernel


class _Letters:
    """The equation of a layer, with one letter per axis.

    Attributes:
        inputs, kernel, outputs: letters of the axes of these tensors.
        reads: letters of the kernel that are summed over.
        writes: letters of the kernel that are in the output and not in the input.
    """

    def __init__(self, layer, rank):
        left, self.outputs = layer.equation.replace(" ", "").split("->")
        self.inputs, self.kernel = left.split(",")
        used = {*layer.equation}
        free = [each for each in string.ascii_letters if each not in used]
        dots = "".join(free[: rank - len(self.inputs.replace("...", ""))])
        self.inputs = self.inputs.replace("...", dots)
        self.outputs = self.outputs.replace("...", dots)
        self.reads = [e for e in self.kernel if e in self.inputs and e not in self.outputs]
        self.writes = [e for e in self.outputs if e in self.kernel and e not in self.inputs]

    @property
    def is_plain(self):
        """Whether all letters of the kernel are read or written, and no others are summed over."""
        rest = set(self.kernel) - {*self.reads, *self.writes}
        kept = all(each in self.outputs for each in self.inputs if each not in self.reads)
        return not rest and kept and self.reads and self.writes


@rule_for(layers.EinsumDense)
class _EinsumDense(Rule):
    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        letters = _Letters(layer, tensor.rank)
        if not letters.is_plain:
            super().label(call, analysis)
            return
        if _is_squeezed(layer):
            reason = "could add its bias along another axis if a size changed"
            analysis.note(f"'{layer.name}' (EinsumDense) {reason}")
            analysis.pin(tensor, f"'{layer.name}' {reason}")
            return
        for axis, letter in enumerate(letters.outputs):
            if letter in letters.writes:
                size = layer.kernel.shape[letters.kernel.index(letter)]
                output.labels[axis] = analysis.labels.new(size)
            elif tensor.labels.get(letters.inputs.index(letter)) is not None:
                output.labels[axis] = tensor.labels[letters.inputs.index(letter)]
        labels = {e: tensor.label(letters.inputs.index(e)) for e in letters.reads}
        labels |= {e: output.labels[letters.outputs.index(e)] for e in letters.writes}
        # The public property `kernel` is not the variable if the layer has a LoRA adapter.
        analysis.slice(layer._kernel, {i: labels[e] for i, e in enumerate(letters.kernel)})
        if layer.bias is not None:
            # The bias has the last axes of the output, with size 1 if not in `bias_axes`.
            first = len(letters.outputs) - len(layer.bias.shape)
            sizes = enumerate(layer.bias.shape)
            axes = {i: output.labels.get(first + i) for i, size in sizes if size > 1}
            analysis.slice(layer.bias, axes)
        pin_if_mixed(layer, output, analysis)

    def constants(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        letters = _Letters(layer, tensor.rank)
        if _is_squeezed(layer) or not letters.is_plain or not is_elementwise(layer.activation):
            return
        if layer.bias is not None and not self._has_plain_bias(layer, letters):
            return
        (reader,) = self.readers(call, analysis)
        sizes = [layer.kernel.shape[letters.kernel.index(e)] for e in letters.writes]
        values = apply_to(layer.activation, outputs_of(reader, layer.bias)).reshape(sizes)
        for place, letter in enumerate(letters.writes):
            rows = np.moveaxis(values, place, 0).reshape(sizes[place], -1)
            is_same = (rows == rows[:, :1]).all(axis=1)
            constants = np.where(is_same, rows[:, 0], np.nan)
            output.constants[letters.outputs.index(letter)] = constants

    def readers(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        letters = _Letters(layer, tensor.rank)
        if _is_squeezed(layer) or not letters.is_plain:
            return []
        reads = [letters.inputs.index(each) for each in letters.reads]
        writes = [letters.outputs.index(each) for each in letters.writes]
        can_fold = tensor.padding is None and self._has_plain_bias(layer, letters)
        return [
            read_kernel(
                layer.kernel,
                [letters.kernel.index(each) for each in letters.reads],
                [letters.kernel.index(each) for each in letters.writes],
                [labels_of(tensor, axis) for axis in reads],
                [output.labels[axis] for axis in writes],
                constants=_joint([tensor.constant(axis) for axis in reads]),
                bias=(layer, "bias", 0) if can_fold else None,
                share=id(layer),
            )
        ]

    def config(self, call, kept):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        if not _Letters(layer, tensor.rank).is_plain:
            return {}
        shape = list(layer.partial_output_shape)
        for place, size in enumerate(shape):
            labels = output.label(place - len(shape))
            if size is not None and labels is not None:
                shape[place] = kept(labels)
        return {"output_shape": tuple(shape)}

    def with_bias(self, layer):
        letters = _Letters(layer, len(layer.input_spec.shape or ()) or layer.input_spec.ndim)
        return {"bias_axes": "".join(letters.writes)}

    def _has_plain_bias(self, layer, letters):
        """Returns whether the bias has, or would have, one element per output of the kernel."""
        return layer.bias_axes is None or list(layer.bias_axes) == letters.writes


def _is_squeezed(layer):
    """Returns whether TensorFlow may add the bias along the wrong axis.

    On TensorFlow, `keras.ops.add` treats an array of shape `(n, 1)` as a bias of axis 1 or of the
    last axis, if that axis has size `n`. With other sizes, the result can therefore change.
    """
    shape = () if layer.bias is None else tuple(layer.bias.shape)
    large = [axis for axis, size in enumerate(shape) if size > 1]
    is_last = large == [len(shape) - 1]
    return keras.backend.backend() == "tensorflow" and len(large) == 1 and not is_last


def _joint(constants):
    """Returns the constants of flattened axes, from the constants along each of them."""
    shape = [len(each) for each in constants]
    views = [
        np.broadcast_to(each.reshape([-1 if i == place else 1 for i in range(len(shape))]), shape)
        for place, each in enumerate(constants)
    ]
    return reduce(lambda a, b: np.where(np.isfinite(a), a, b), views).reshape(-1)
