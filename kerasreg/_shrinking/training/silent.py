"""Units whose removal does not change training: zero in every step, or unused."""

import numpy as np
from keras import layers

from kerasreg._graph.analysis import Analysis
from kerasreg._graph.rules.base import Rule
from kerasreg._shrinking.dead import Dead, find_dead

#: Layers that output noise for inputs of zero.
_NOISY = (layers.AlphaDropout, layers.GaussianNoise)


def find_silent(model, analysis, round_to=1) -> Dead:
    """Returns the units of `find_dead` whose removal does not change training.

    These are unused units and units whose output is zero in training and in inference. Units with
    other constant outputs are excluded, because the bias that would absorb the constant is
    trained. For a constant input, a batch normalization outputs its offset in training, and
    another value in inference.

    Args:
        model: the analysed model.
        analysis: its `Analysis`.
        round_to: every width larger than this keeps a multiple of it.
    """
    in_training = Analysis(model, lambda operation: _rule(analysis.rule_of(operation), operation))
    known = [each.constants for each in analysis.readers]
    try:
        for reader, other in zip(analysis.readers, in_training.readers, strict=True):
            zero = (reader.constants == 0) & (other.constants == 0)
            reader.constants = np.where(zero, 0.0, np.nan)
        return find_dead(analysis, round_to, _rescaled(analysis))
    finally:
        for reader, constants in zip(analysis.readers, known, strict=True):
            reader.constants = constants


def _rescaled(analysis):
    """Returns labels whose removal would rescale weights, which would then train differently."""
    found = [np.zeros(0, int)]
    for call in analysis.graph.calls:
        if type(analysis.rule_of(call.operation)).scales is not Rule.scales:
            sizes = call.memory.get("keys")
            axes = [labels for each in call.outputs for labels in each.labels.values()]
            found += axes if sizes is None else [sizes]
    return np.concatenate([np.ravel(each) for each in found])


def _rule(rule, operation):
    if isinstance(operation, layers.BatchNormalization) and operation.trainable:
        return _InTraining(rule, _give_offset)
    return _InTraining(rule, _forget) if isinstance(operation, _NOISY) else rule


class _InTraining:
    """A rule whose constants are those in training."""

    def __init__(self, rule, change):
        self._rule, self._change = rule, change

    def __getattr__(self, name):
        return getattr(self._rule, name)

    def constants(self, call, analysis):
        self._rule.constants(call, analysis)
        for output in call.outputs:
            for axis, constants in list(output.constants.items()):
                output.constants[axis] = self._change(call.operation, np.asarray(constants))


def _give_offset(layer, constants):
    offset = 0.0 if layer.beta is None else np.asarray(layer.beta, "float64")
    return np.where(np.isfinite(constants), offset, np.nan)


def _forget(layer, constants):
    return np.full_like(constants, np.nan, dtype="float64")
