"""Rules of normalizations, with stored statistics or with statistics of the features."""

import numpy as np
from keras import layers

from kerasreg._graph.analysis import Reader
from kerasreg._graph.rules.base import (
    Rule,
    kind,
    labels_of,
    numpy,
    pin_other_axes,
    rule_for,
    rule_for_classes,
    rule_for_ops,
)
from kerasreg._graph.rules.elementwise import without_padding


class _Affine(Rule):
    """A normalization that scales and shifts every feature in inference."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        output.labels = dict(tensor.labels)
        for variable, axes in self.variables(call.operation, tensor):
            found = {place: tensor.labels.get(axis) for place, axis in axes.items()}
            analysis.slice(variable, found)

    def constants(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        axis, scale, shift = self.affine(call.operation, tensor)
        if axis is None:
            return
        inputs = without_padding(tensor, tensor.constant(axis))
        # A scale of zero makes every output constant.
        output.constants[axis] = np.where(scale == 0, shift, inputs * scale + shift)


@rule_for(layers.BatchNormalization)
class _BatchNormalization(_Affine):
    def variables(self, layer, tensor):
        each = layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance
        return [(variable, {0: layer.axis % tensor.rank}) for variable in each]

    def affine(self, layer, tensor):
        scale = 1.0 / np.sqrt(numpy(layer.moving_variance) + layer.epsilon)
        if layer.gamma is not None:
            scale = scale * numpy(layer.gamma)
        shift = -numpy(layer.moving_mean) * scale
        if layer.beta is not None:
            shift = shift + numpy(layer.beta)
        return layer.axis % tensor.rank, scale, shift


@rule_for_classes("keras.src.applications.convnext", "LayerScale")
class _LayerScale(_Affine):
    """A gain per feature."""

    def variables(self, layer, tensor):
        return [(layer.gamma, {0: tensor.rank - 1})]

    def affine(self, layer, tensor):
        return tensor.rank - 1, numpy(layer.gamma), 0.0

    def config(self, call, kept):
        return {"projection_dim": kept(labels_of(call.outputs[0], -1))}


@rule_for(layers.Normalization)
class _Normalization(_Affine):
    """`(x - mean) / max(sqrt(variance), epsilon)`, with adapted or given statistics."""

    def label(self, call, analysis):
        # The config contains given statistics, whose size cannot change.
        if call.operation.input_mean is not None:
            Rule.label(self, call, analysis)
        else:
            super().label(call, analysis)

    def constants(self, call, analysis):
        pass

    def variables(self, layer, tensor):
        axes = dict(enumerate(axis % tensor.rank for axis in layer._keep_axis))
        return [(layer.adapt_mean, axes), (layer.adapt_variance, axes)]

    def finish(self, layer, new):
        if layer.input_mean is None:
            new.finalize_state()


@rule_for(layers.GroupNormalization)
class _GroupNormalization(Rule):
    """Statistics of groups of features: a group is removed as a whole."""

    def label(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = layer.axis % tensor.rank
        pin_other_axes(tensor, axis, call, analysis)
        labels = labels_of(tensor, axis).reshape(layer.groups, -1)
        analysis.is_coarse |= labels.shape[1] > 1
        analysis.labels.unify(labels, labels[:, :1])
        output.labels[axis] = labels.reshape(-1)
        for variable in (layer.gamma, layer.beta):
            analysis.slice(variable, {0: labels.reshape(-1)})

    def constants(self, call, analysis):
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        axis = layer.axis % tensor.rank
        inputs = without_padding(tensor, tensor.constant(axis)).reshape(layer.groups, -1)
        mean, variance = inputs.mean(axis=1, keepdims=True), inputs.var(axis=1, keepdims=True)
        values = ((inputs - mean) / np.sqrt(variance + layer.epsilon)).reshape(-1)
        if layer.gamma is not None:
            gamma = numpy(layer.gamma)
            values = np.where(gamma == 0, 0.0, values * gamma)
        output.constants[axis] = values + (0.0 if layer.beta is None else numpy(layer.beta))

    def config(self, call, kept):
        layer, (output,) = call.operation, call.outputs
        labels = output.label(layer.axis)
        return {"groups": layer.groups * kept(labels) // len(labels)}


class _Zeros(Rule):
    """A norm over all features: only features that are zero can be removed."""

    def readers(self, call, analysis):
        (tensor,), (output,) = call.inputs, call.outputs
        axis, *others = self.axes(call.operation, tensor)
        if others:
            return []
        size = tensor.shape[axis]
        return [
            Reader(
                labels=labels_of(tensor, axis)[None],
                writes=labels_of(output, axis)[None],
                connected=np.ones((size, size), bool),
                constants=tensor.constant(axis),
            )
        ]

    def label(self, call, analysis):
        (tensor,), (output,) = call.inputs, call.outputs
        axes = self.axes(call.operation, tensor)
        if len(axes) > 1:
            Rule.label(self, call, analysis)
            return
        output.labels = dict(tensor.labels)
        output.labels.setdefault(axes[0], np.zeros(tensor.shape[axes[0]], int))

    def constants(self, call, analysis):
        (tensor,), (output,) = call.inputs, call.outputs
        axis, *others = self.axes(call.operation, tensor)
        if not others:
            output.constants[axis] = np.where(tensor.constant(axis) == 0, 0.0, np.nan)

    def axes(self, layer, tensor):
        """Returns the axes that are normalized together."""
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return [axis % tensor.rank for axis in axes]


@rule_for(layers.UnitNormalization)
class _UnitNormalization(_Zeros):
    """`x / |x|`: zeros do not change the norm."""


@rule_for(layers.RMSNormalization)
class _RMSNormalization(_Zeros):
    """`x / sqrt(mean(x²) + ε) * scale`, with a mean over D features.

    After zeros are removed, the mean is over D' features. The output is the same with
    `scale √(D/D')` and `ε D/D'`.
    """

    def label(self, call, analysis):
        super().label(call, analysis)
        layer, (tensor,), (output,) = call.operation, call.inputs, call.outputs
        if output.labels:
            (axis,) = self.axes(layer, tensor)
            analysis.slice(layer.scale, {0: output.labels[axis]})

    def constants(self, call, analysis):
        (tensor,), (output,) = call.inputs, call.outputs
        axis, *others = self.axes(call.operation, tensor)
        if others:
            return
        is_zero = (tensor.constant(axis) == 0) | (numpy(call.operation.scale) == 0)
        output.constants[axis] = np.where(is_zero, 0.0, np.nan)

    def config(self, call, kept):
        return {"epsilon": call.operation.epsilon * self._ratio(call, kept)}

    def scales(self, call, kept):
        return [(call.operation.scale, np.sqrt(self._ratio(call, kept)))]

    def _ratio(self, call, kept):
        (tensor,), (output,) = call.inputs, call.outputs
        axes = self.axes(call.operation, tensor)
        labels = output.label(axes[0]) if len(axes) == 1 else None
        return 1.0 if labels is None else len(labels) / kept(labels)


@rule_for(layers.LayerNormalization, layers.Softmax)
@rule_for_ops("Softmax", "LogSoftmax")
class _Statistics(Rule):
    """Statistics over all features, which a layer with fewer features cannot compute."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        axes = call.operation.axis
        axes = axes if isinstance(axes, (list, tuple)) else [axes]
        axes = [axis % tensor.rank for axis in axes]
        for axis, labels in tensor.labels.items():
            if axis in axes:
                reason = f"'{call.operation.name}' ({kind(call)}) needs all features"
                analysis.labels.pin(labels, reason)
            else:
                output.labels[axis] = labels
