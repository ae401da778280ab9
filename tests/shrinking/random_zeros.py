"""Random zeros in the weights of a model: units, rows, gains, heads, layers, single weights."""

import keras
import numpy as np
from keras import layers, ops

import kerasreg
from kerasreg._graph.variables import all_layers

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)


def zero_at_random(model, r):
    """Sets some of the weights to zero. `r` are the `Choices` of a seed."""
    if r.coin(0.3):
        _coupled(model, r)
        return
    everything = [_outputs, _inputs, _any_axis, _gains, _whole, _scattered, _nothing]
    habits = r.pick([[_outputs, _gains], [_outputs, _inputs], everything, everything])
    for layer in leaves(model):
        r.pick(habits)(layer, r)


def leaves(model):
    """Returns the layers, nested ones included, that have weights beside those of sublayers."""
    return [layer for layer in all_layers(model) if _own(layer)]


def _own(layer):
    found = layer._trainable_variables + layer._non_trainable_variables
    return [v for v in found if keras.backend.is_float_dtype(v.dtype)]


def _kernels(layer):
    return [v for v in _own(layer) if len(v.shape) > 1]


def _chosen(size, r):
    """Chooses half of the units: often the first, so that several layers agree."""
    if r.coin(0.05):
        return np.ones(size, bool)
    first = np.arange(size) < size // 2
    return first if r.coin(0.7) else r.rng.permutation(first)


def _clear(variable, axis, chosen):
    values = np.moveaxis(np.array(ops.convert_to_numpy(variable)), axis, 0)
    values[chosen] = 0
    variable.assign(np.moveaxis(values, 0, axis))


def _outputs(layer, r):
    """Clears whole units with or without their bias; in recurrent layers, in all gates."""
    axis = -2 if isinstance(layer, _TRANSPOSED + _DEPTHWISE) else -1
    is_cell = hasattr(layer, "recurrent_kernel")
    with_bias = r.coin(0.6)
    kernels = _kernels(layer)[: None if is_cell else 1]
    for kernel in kernels:
        size = kernel.shape[axis]
        if kernel is kernels[0]:
            gates = size // layer.units if is_cell else 1
            chosen = np.tile(_chosen(size // gates, r), gates)
        _clear(kernel, axis, chosen)
        for bias in _own(layer):
            if with_bias and bias.name == "bias" and bias.shape[-1] == size:
                _clear(bias, -1, chosen)


def _inputs(layer, r):
    """Clears whole rows: the layer does not use these inputs."""
    axis = -1 if isinstance(layer, _TRANSPOSED) else -2
    for kernel in _kernels(layer)[-1:]:
        _clear(kernel, axis, _chosen(kernel.shape[axis], r))


def _any_axis(layer, r):
    """Clears slices of any axis: heads, positions of a window, steps of a sequence."""
    for kernel in _kernels(layer):
        axis = int(r.rng.integers(len(kernel.shape)))
        _clear(kernel, axis, _chosen(kernel.shape[axis], r))


def _gains(layer, r):
    """Clears `gamma` of a normalization, with or without `beta`."""
    found = {v.name: v for v in _own(layer)}
    if "gamma" in found:
        chosen = _chosen(found["gamma"].shape[0], r)
        _clear(found["gamma"], 0, chosen)
        if "beta" in found and r.coin(0.3):
            _clear(found["beta"], 0, chosen)


def _whole(layer, r):
    if r.coin(0.3):
        for variable in _own(layer):
            if not variable.name.startswith("moving"):
                variable.assign(ops.zeros_like(variable))


def _scattered(layer, r):
    share = r.pick([0.3, 0.6, 0.9])
    for kernel in _kernels(layer):
        values = np.array(ops.convert_to_numpy(kernel))
        kernel.assign(np.where(r.rng.random(values.shape) < share, 0, values))


def _coupled(model, r):
    """Clears half of each group of coupled units: in producers, in consumers, or in both."""
    for group in kerasreg.coupled_groups(model):
        chosen = _chosen(group.units, r)
        for member in r.pick([group.weights, group.producers, group.consumers]):
            values = np.array(ops.convert_to_numpy(member.variable))
            member.variable.assign(np.where(member.mask(chosen), 0, values))


def _nothing(layer, r):
    pass
