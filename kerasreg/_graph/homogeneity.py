"""Layers that compensate the scale of another: in a ReLU network, `W1 -> c W1`, `W2 -> W2 / c`."""

from collections import defaultdict

import keras
from keras import layers

from kerasreg._graph.degrees import Probe
from kerasreg._graph.families import (
    CROPPING,
    LINEAR,
    NORMALIZATION,
    PADDING,
    POOLING,
    SPATIAL_DROPOUT,
    UP_SAMPLING,
)
from kerasreg._graph.tracing import is_model, trace

_NORMALIZATION = (*NORMALIZATION, layers.UnitNormalization)
#: Layers without weights and with `f(c x) = c f(x)` for c > 0.
_HOMOGENEOUS = (
    *(layers.Identity, layers.Dropout, layers.LeakyReLU),
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector),
    *(layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum),
    *(layers.Concatenate, *POOLING, *CROPPING, *PADDING, *UP_SAMPLING, *SPATIAL_DROPOUT),
)
_ACTIVATIONS = (
    None,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.leaky_relu,
)
#: Names of variables that are added, not multiplied.
OFFSETS = ("bias", "beta")


#: Layers without weights that are homogeneous in some inputs, or with some arguments, only.
_PROBED = (layers.Dot, layers.Multiply, layers.Rescaling)


class ScaledCall:
    """The effect of one traced call on the scale of its inputs.

    Args:
        call: a `Call` of a traced model.
    """

    def __init__(self, call):
        self.layer, self.inputs, self.outputs = call.operation, call.inputs, call.outputs
        self._probe = Probe(call)

    @property
    def has_weights(self):
        """Whether the layer has weights that multiply; True for an unknown class of layers."""
        is_layer = isinstance(self.layer, layers.Layer)
        return is_layer and not (isinstance(self.layer, _PROBED) or _passes(self.layer))

    def follow(self, scaled):
        """Returns the inputs and outputs that scale together with the tensors in `scaled`.

        A product scales if one of its factors scales, a sum only if all of its terms scale.

        Returns:
            A list of tensors of this call, which must have no weights; None if the scale does not
            pass through it.
        """
        for chosen in (scaled.intersection(self.inputs), self._scalable):
            degrees = self._degrees([each in chosen for each in self.inputs])
            found = dict(zip(self.outputs, degrees, strict=True))
            if all(
                degree == 1 or (degree == 0 and output not in scaled)
                for output, degree in found.items()
            ):
                return [*chosen, *(output for output, degree in found.items() if degree)]
        return None

    @property
    def _scalable(self):
        """The floating-point inputs; others are indices or conditions."""
        pairs = zip(self.inputs, self._probe.is_float, strict=True)
        return {tensor for tensor, is_float in pairs if is_float}

    def _degrees(self, is_scaled):
        if not _passes(self.layer):
            return self._probe.degrees(is_scaled)
        degree = 1 if all(is_scaled) else None if any(is_scaled) else 0
        return [degree] * len(self.outputs)


class Scales:
    """The effect of the scale of weights on the tensors of a Functional or Sequential model.

    Args:
        graph: the `Graph` of the model.
    """

    def __init__(self, graph):
        self._outputs = set(graph.outputs)
        self._producer, self._consumers, self._calls = {}, defaultdict(list), defaultdict(list)
        for call in map(ScaledCall, graph.calls):
            self._calls[call.layer].append(call)
            self._producer |= dict.fromkeys(call.outputs, call)
            for tensor in call.inputs:
                self._consumers[tensor].append(call)

    @classmethod
    def of(cls, model):
        """Returns the `Scales` of a model, or None for one without a graph (a subclassed model)."""
        return cls(trace(model)) if is_model(model) else None

    @property
    def layers(self):
        """A list of all layers, each once."""
        return list(self._calls)

    def absorbers(self, source):
        """Returns the layers that together can compensate any scale of the weights of `source`.

        The list is empty if an operation in between does not pass the scale through, if the scale
        reaches an output of the model, or if one of the layers has a penalty or is frozen.
        """
        scaled, sources = set(), {source}
        queue = [tensor for call in self._calls[source] for tensor in call.outputs]
        while queue:
            tensor = queue.pop()
            if tensor in scaled:
                continue
            if tensor in self._outputs or tensor not in self._producer:
                return []
            scaled.add(tensor)
            producer = self._producer[tensor]
            if producer.has_weights:
                if not _scales(producer.layer):
                    return []
                sources.add(producer.layer)
                queue += [each for call in self._calls[producer.layer] for each in call.outputs]
            for call in (producer, *self._consumers[tensor]):
                if not call.has_weights:
                    more = call.follow(scaled)
                    if more is None:
                        return []
                    queue += more
        readers = [call for tensor in scaled for call in self._consumers[tensor]]
        users = dict.fromkeys(call.layer for call in readers if call.has_weights)
        absorbers = [each for each in users if each not in sources]
        undone = all(_absorbs(each) and self._reads(each) <= scaled for each in absorbers)
        # If the input of `source` is scaled as well, its weights need not be.
        return absorbers if undone and not self._reads(source) & scaled else []

    def _reads(self, layer):
        return {tensor for call in self._calls[layer] for tensor in call.inputs}


def _passes(layer):
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and not layer.threshold
    if isinstance(layer, layers.Activation):
        return layer.activation in _ACTIVATIONS
    return isinstance(layer, _HOMOGENEOUS)


def _scales(layer):
    """Returns whether scaling the weights of this layer scales its output."""
    if not layer.trainable:
        return False
    if isinstance(layer, LINEAR):
        return layer.activation in _ACTIVATIONS
    return isinstance(layer, (layers.Embedding, *_NORMALIZATION)) and bool(factors(layer))


def factors(layer):
    """Returns the trainable variables of a layer that multiply its input."""
    return [each for each in layer.trainable_variables if each.name not in OFFSETS]


def _absorbs(layer):
    """Returns whether smaller weights, or a normalization, of this layer undo a larger input."""
    return (
        layer.trainable
        and isinstance(layer, (*LINEAR, *_NORMALIZATION))
        and all(
            variable.regularizer is None and variable.constraint is None
            for variable in factors(layer)
        )
    )
