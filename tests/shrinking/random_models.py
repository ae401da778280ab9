"""Random models of every construction that `shrink` supports."""

import keras
import numpy as np
from keras import layers
from shrinking.random_graphs import CUT_AND_MASKED, GRAPHS, combine, pair
from shrinking.random_layers import LAYERS, SAME_PLACES, Choices

_SMALL = 150


def random_model(seed, graphs=GRAPHS):
    """Returns a Functional model in the current dtype policy, without zero weights."""
    r = Choices(seed)
    r.graphs = graphs
    kinds = [
        r.pick([_vector, _tokens, _sequence, _image, _image]) for _ in range(r.pick([1, 1, 2]))
    ]
    inputs = [make(r) for make in kinds]
    seen = []
    ends = [_grow(r, _embedded(r, x), r.pick([2, 3, 4, 5, 6]), seen) for x in inputs]
    y = _grow(r, _joined(r, [_vector_of(r, x) for x in ends]), r.pick([0, 1, 2]), seen)
    outputs = [layers.Dense(2, r.pick([None, "softmax", "sigmoid"]))(pair(r, _vector_of(r, y)))]
    if r.coin(0.15):
        outputs.append(r.pick(seen))
    if r.coin(0.15):
        outputs.insert(0, layers.Dense(3)(_vector_of(r, r.pick(seen))))
    model = keras.Model(inputs, outputs if len(outputs) > 1 or r.coin() else outputs[0])
    _fill(model, r)
    return model


def _fill(model, r):
    """Assigns random weights, so that the outputs depend on the inputs."""
    for variable in float_weights(model):
        fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 4
        value = 1.5 * r.rng.normal(size=variable.shape) / np.sqrt(fan_in)
        if variable.name in ("gamma", "scale", "moving_variance"):
            value = np.abs(value) + 0.5
        variable.assign(value)


def float_weights(layer):
    """Returns all weights but the states of seed generators."""
    return [v for v in layer.weights if keras.backend.is_float_dtype(v.dtype)]


def random_cut_and_masked_model(seed):
    """Returns a random model with masks, slices, splits, operators and shared parts."""
    return random_model(seed, CUT_AND_MASKED)


def _vector(r):
    return keras.Input((r.width(),), dtype="float64")


def _tokens(r):
    return keras.Input((r.pick([4, 6]),), dtype="int32")


def _sequence(r):
    return keras.Input((r.pick([4, 5, 8]), r.width()), dtype="float64")


def _image(r):
    return keras.Input((r.pick([5, 6, 8]), r.pick([4, 6]), r.pick([1, 2, 3])), dtype="float64")


def _embedded(r, x):
    if x.dtype == "int32":
        return layers.Embedding(7, r.width(), mask_zero=r.coin(0.3))(x)
    return x


def _grow(r, x, steps, seen=None):
    for _ in range(steps):
        makers = LAYERS[x.ndim] + SAME_PLACES[x.ndim]
        x = r.pick(r.graphs)(r, x) if r.coin(0.4) else r.pick(makers)(r, x)(x)
        if seen is not None:
            seen.append(x)
        if np.prod(x.shape[1:]) > 3 * _SMALL:
            x = _narrow(r, x)
    return x


def _narrow(r, x):
    """Reduces the size of a tensor, so that models stay small."""
    if x.ndim == 2:
        return layers.Dense(8)(x)
    return {3: layers.Conv1D, 4: layers.Conv2D}.get(x.ndim, layers.Conv3D)(4, 1, strides=2)(x)


def _vector_of(r, x):
    if x.ndim == 2:
        return x
    if np.prod(x.shape[1:]) <= _SMALL and r.coin():
        return layers.Flatten()(x)
    if x.ndim == 3 and r.coin(0.3):
        return r.pick([layers.LSTM, layers.GRU, layers.SimpleRNN])(r.width())(x)
    kind = r.pick(["GlobalAveragePooling", "GlobalMaxPooling"])
    return getattr(layers, f"{kind}{x.ndim - 2}D")()(x)


def _joined(r, tensors):
    if len(tensors) == 1:
        return tensors[0]
    if r.coin():
        return layers.Concatenate()(tensors)
    return combine(r, [layers.Dense(4, r.activation())(x) for x in tensors])
