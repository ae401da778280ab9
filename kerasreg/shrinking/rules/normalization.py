"""Normalizations: by known statistics, or by those of the features."""

import numpy as np
from keras import layers

from kerasreg.shrinking.rules.base import Rule, constants_of, numpy, rule_for


@rule_for(layers.BatchNormalization)
class _BatchNormalization(Rule):
    """An affine function of every feature, in inference."""

    def label(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        axis = layer.axis % tensor.rank
        output.labels = dict(tensor.labels)
        for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
            analysis.slice(variable, {0: tensor.label(axis)})

    def constants(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        axis = layer.axis % tensor.rank
        scale = 1.0 / np.sqrt(numpy(layer.moving_variance) + layer.epsilon)
        if layer.gamma is not None:
            scale = scale * numpy(layer.gamma)
        shift = -numpy(layer.moving_mean) * scale
        if layer.beta is not None:
            shift = shift + numpy(layer.beta)
        inputs = constants_of(tensor, axis)
        # A gain of zero makes a constant of anything.
        if list(output.labels) == [axis]:
            output.constants = np.where(scale == 0, shift, inputs * scale + shift)
