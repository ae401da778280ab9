"""What a training does not miss: units that are zero in every step, and units that are not read."""

import numpy as np
from keras import layers

from kerasreg._graph.analysis import Analysis
from kerasreg._graph.rules.base import Rule
from kerasreg._shrinking.dead import Dead, find_dead

#: What gives noise where it receives zeros.
_NOISY = (layers.AlphaDropout, layers.GaussianNoise)


def find_silent(model, analysis, round_to=1) -> Dead:
    """As `find_dead`, without constants other than zero: a bias that takes them over would train.

    A unit is silent if it is zero both in training and in inference. A batch normalization gives
    its offset for a constant input in training, and something else in inference.
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
    """Labels without which weights would be multiplied by a number, and then train differently."""
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
    """A rule, with other constants."""

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
