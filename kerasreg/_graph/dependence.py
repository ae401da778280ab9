"""Whether zeros make outputs of a model independent of its inputs, tried on random inputs."""

import math
import warnings

import keras
import numpy as np
from keras import ops, tree

from kerasreg._graph.leads import leads_of
from kerasreg._graph.tracing import functional_of, nodes_of

#: Values for undefined input sizes; the first one that the model accepts is used.
_SIZES = (64, 224, 16)
#: A batch has at most `_SAMPLES` samples, and fewer if these have more than `_NUMBERS` numbers.
_SAMPLES, _NUMBERS = 64, 100_000


def where_cut(model, masks) -> list[str]:
    """Returns the operations in which zeros make an output of a model constant.

    The model is called on two random batches, with its weights and with the pruned ones. Its
    variables do not change.

    Args:
        model: a built model.
        masks: `[(variable, bool array)]`, True for weights that remain.

    Returns:
        Names of operations. The outputs of these varied before and are constant now, while an input
        still varies. Empty if each output of the model that varied still does, and if the model has
        no graph or accepts no random inputs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _where_cut(functional_of(model), masks)
    except Exception:
        # This is advice, which must not stop a training.
        return []


def _where_cut(model, masks):
    pruned = [(variable, _masked(variable, mask)) for variable, mask in masks]
    batches, after = _tried(model, pruned)
    if all(after) or not any(_lost(_vary(model, model.outputs, batches, []), after)):
        return []
    nodes = list(nodes_of(model))
    tensors = list({id(each): each for node in nodes for each in node.outputs}.values())
    before, after = (_vary(model, tensors, batches, weights) for weights in ([], pruned))
    lost = {id(each) for each, gone in zip(tensors, _lost(before, after), strict=True) if gone}
    varying = {id(each) for each, still in zip(tensors, after, strict=True) if still}
    varying.update(map(id, model.inputs))
    names = [
        node.operation.name
        for node in nodes
        if any(id(each) in lost for each in node.outputs)
        and any(id(each) in varying for each in node.arguments.keras_tensors)
    ]
    return list(dict.fromkeys(names))


def _masked(variable, mask):
    value = ops.convert_to_tensor(variable)
    return ops.where(ops.convert_to_tensor(mask), value, ops.zeros_like(value))


def _tried(model, weights):
    """Returns two batches that the model accepts, and whether each of its outputs varies."""
    for place, size in enumerate(_SIZES):
        rng = np.random.default_rng(0)
        try:
            batches = [_batch(model, size, rng) for _ in range(2)]
            return batches, _vary(model, model.outputs, batches, weights)
        except Exception:
            has_others = any(None in each.shape[1:] for each in model.inputs)
            if not has_others or place == len(_SIZES) - 1:
                raise


def _batch(model, size, rng):
    shapes = [[size if each is None else each for each in t.shape[1:]] for t in model.inputs]
    samples = max(2, min(_SAMPLES, _NUMBERS // max(1, *map(math.prod, shapes))))
    samples = next((each.shape[0] for each in model.inputs if each.shape[0]), samples)
    return [
        _values(tensor.dtype, (samples, *shape), lead.high, rng)
        for tensor, shape, lead in zip(model.inputs, shapes, leads_of(model), strict=True)
    ]


def _values(dtype, shape, high, rng):
    if dtype == "bool":
        values = rng.random(shape) < 0.5
    elif keras.backend.is_int_dtype(dtype):
        values = rng.integers(0, high, shape)
    else:
        values = rng.normal(size=shape)
    # A model accepts either tensors or arrays.
    return ops.convert_to_tensor(values, dtype=dtype)


def _vary(model, tensors, batches, weights):
    """Returns whether each tensor differs between two batches, for these weights."""
    part = keras.Model(model.inputs, tensors, name=model.name)
    with keras.StatelessScope(state_mapping=weights):
        first, second = (tree.flatten(part(each, training=False)) for each in batches)
    return [_differ(a, b) for a, b in zip(first, second, strict=True)]


def _differ(first, second):
    return bool(ops.convert_to_numpy(ops.any(ops.not_equal(first, second))))


def _lost(before, after):
    return [was and not still for was, still in zip(before, after, strict=True)]
