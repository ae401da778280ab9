"""Dead units: units whose output is the same for every input."""

from functools import partial

import numpy as np
from keras import layers, ops

from kerasreg._graph.families import ATTENTION, SEPARABLE, gates_of_cell
from kerasreg._graph.groups import zero_groups
from kerasreg._graph.variables import all_layers

#: `{number of gates: index of the gate that is the candidate for the state of a recurrent unit}`.
CANDIDATES = {1: 0, 3: 2, 4: 2}


def joint_units(model, roles):
    """Returns how to find the dead units that several variables compute together.

    Args:
        model: a built Keras model.
        roles: the result of `model_roles` for it.

    Returns:
        `{id(variable): function}`. The function returns a bool array, True for each dead unit of
        the layer. It is None for the other variables of these units, so that they count once.
    """
    found = {}
    for layer in all_layers(model):
        if isinstance(layer, ATTENTION):
            found |= _of_attention(layer)
        elif isinstance(layer, SEPARABLE):
            found[id(layer.depthwise_kernel)] = None
            found[id(layer.pointwise_kernel)] = partial(_of_separable, layer)
        elif getattr(layer, "lora_enabled", False):
            name = "embeddings" if isinstance(layer, layers.Embedding) else "kernel"
            kernel = getattr(layer, f"_{name}", None)
            units = roles.get(id(kernel), {}).get("output")
            if units is not None:
                found.setdefault(id(kernel), partial(_of_adapted, layer, name, units))
    for cell, is_stateful in _cells(model):
        found[id(cell.kernel)] = partial(_of_cell, cell, is_stateful)
        found[id(cell.recurrent_kernel)] = None
    return found


def silent(kernel, recurrent, can_be):
    """Returns a bool array: True for recurrent units whose state is zero at every step.

    Args:
        kernel: kernel of the candidate for the state, `(..., inputs, units)`.
        recurrent: recurrent kernel of the candidate, `(..., units, units)`.
        can_be: bool array, False for units with another input, such as a bias.
    """
    size = recurrent.shape[-1]
    zero = can_be & _is_zero(kernel.reshape(-1, size))
    recurrent = recurrent.reshape(-1, size, size)
    before = None
    while before is None or (before != zero).any():
        before = zero.copy()
        zero = zero & ~(recurrent[:, ~zero] != 0).any(axis=(0, 1))
    return zero


def _cells(model):
    """Yields `(cell, whether its layer is stateful)`."""
    recurrent = [layer for layer in all_layers(model) if isinstance(layer, layers.RNN)]
    stateful = {id(layer.cell) for layer in recurrent if layer.stateful}
    for layer in all_layers(model):
        if gates_of_cell(layer) and layer.built:
            yield layer, id(layer) in stateful


def _of_cell(cell, is_stateful):
    kernel, recurrent = _array(cell.kernel), _array(cell.recurrent_kernel)
    size = recurrent.shape[-2]
    gate = CANDIDATES[kernel.shape[-1] // size]
    part = slice(gate * size, (gate + 1) * size)
    can_be = np.full(size, not is_stateful and _keeps_zero(cell.activation))
    if cell.bias is not None:
        can_be &= _is_zero(_array(cell.bias)[..., part].reshape(-1, size))
    return silent(kernel[..., part], recurrent[..., part], can_be)


def _of_separable(layer):
    depthwise = _array(layer.depthwise_kernel)
    depthwise = depthwise.reshape(-1, depthwise.shape[-2] * depthwise.shape[-1])
    pointwise = _array(layer.pointwise_kernel).reshape(depthwise.shape[-1], -1)
    return _is_zero(pointwise[~_is_zero(depthwise)])


def _of_attention(layer):
    names = ("query", "key", "value", "gate")
    kernels = {name: getattr(layer, f"_{name}_dense", None) for name in names}
    counted = {"query": partial(_of_scores, layer)}
    found = {id(d._kernel): counted.get(name) for name, d in kernels.items() if d is not None}
    del found[id(layer._value_dense._kernel)]
    return found


def _of_scores(layer):
    """Returns a bool per head and element: True if query times key does not affect attention.

    This is so if the query is zero or the key is constant: a constant key adds the same to all
    scores of a query, which does not change their softmax.
    """
    query, key = _array(layer._query_dense.kernel), _array(layer._key_dense.kernel)
    no_query, no_key = _is_zero(query), _is_zero(key)
    if layer._query_dense.bias is not None:
        no_query &= _array(layer._query_dense.bias) == 0
    no_key = np.repeat(no_key, len(no_query) // len(no_key), axis=0)
    return (no_query | no_key).reshape(-1)


def _of_adapted(layer, name, units):
    """Returns the dead units of a kernel with its LoRA update."""
    return zero_groups(_array(getattr(layer, name)), units)


def _is_zero(array):
    """Returns whether all elements along the first axis are zero."""
    return ~(array != 0).any(axis=0)


def _keeps_zero(activation):
    return float(ops.convert_to_numpy(activation(ops.zeros(())))) == 0


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))
