"""`kerasreg.flops`: the floating-point operations of a model, counted in its graph."""

import keras
import numpy as np
from keras import tree

from kerasreg._common.types import InputShape
from kerasreg._graph.tracing import Tensor, functional_of, is_model, trace
from kerasreg._shrinking.costs import costs, total
from kerasreg._shrinking.costs.base import UnknownSizeError


def flops(model: keras.Model, input_shape: InputShape = None) -> int | None:
    """Returns the floating-point operations (FLOPs) of the inference of one sample.

    - Every multiply-add of a kernel, an attention or a matrix product counts as 2.
    - Bias additions, activations, normalizations, sums, poolings and similar operations count as 1
      per element of their input or output, whichever is larger.
    - Operations that only move or select values count as 0.

    Args:
        model: a built Functional or Sequential model. It may contain others.
        input_shape: shape of one sample, without the batch axis, for models whose inputs have
            undefined sizes: a tuple, or for several inputs a list or dict of tuples in the
            structure of the inputs.

    Returns:
        An int. None if a size is undefined, or if the cost of a layer is unknown (`Lambda`, custom
        layers): see `kerasreg.shrinking.cost_of`.

    Raises:
        ValueError: for a model that is not built or is subclassed, and for an `input_shape` that
            does not fit.

    Example:

    >>> layers = [keras.Input((None, None, 3)), keras.layers.Conv2D(8, 3, padding="same")]
    >>> model = keras.Sequential(layers)
    >>> kerasreg.flops(model, (10, 10, 3)) == 10 * 10 * 8 * (2 * 3 * 3 * 3 + 1)
    True
    >>> print(kerasreg.flops(model))
    None
    """
    _require_graph(model)
    graph = trace(model)
    return total(costs(graph, Shapes(open_sizes(model, graph, input_shape))).values())


def _require_graph(model):
    if not isinstance(model, keras.Model) or not is_model(model):
        kind = type(model).__name__
        raise ValueError(
            "`kerasreg.flops` needs a built Functional or Sequential model, because it follows the "
            f"graph of its layers. Received: {getattr(model, 'name', model)!r}, a {kind}. Create "
            "it as `keras.Model(inputs, outputs)`, or start a Sequential with "
            "`keras.Input(shape)`; a subclass must not override `call`."
        )


class Shapes:
    """The shapes of tensors and variables, optionally without removed units.

    Args:
        sizes: `{id(tensor): shape}` for tensors with undefined sizes.
        analysis: an `Analysis`, or None.
        gone: bool array, indexed by label; True for removed units. Or None.
    """

    def __init__(self, sizes=None, analysis=None, gone=None):
        self._sizes, self._gone = sizes or {}, gone
        self._slices = {} if gone is None else analysis.slices

    def __call__(self, each):
        if isinstance(each, Tensor):
            shape = list(self._sizes.get(id(each), each.shape))
            if shape and shape[0] is None:
                shape[0] = 1
            if None in shape:
                raise UnknownSizeError
            axes = each.labels if self._gone is not None else {}
        else:
            shape = list(np.shape(each) if isinstance(each, (int, float, list)) else each.shape)
            axes = self._slices[id(each)].axes if id(each) in self._slices else {}
        for axis, labels in axes.items():
            shape[axis] = int(np.count_nonzero(~self._gone[labels]))
        return tuple(shape)


def open_sizes(model, graph, input_shape=None):
    """Returns `{id(tensor): shape}` for one sample of this shape; empty if none is needed."""
    functional = functional_of(model)
    shapes = input_shapes(model, input_shape)
    if input_shape is None:
        tensors = [tensor for call in graph.calls for tensor in call.outputs]
        if any(None in each for each in shapes) or all(_is_fixed(each) for each in tensors):
            return {}
    specs = {}
    for tensor, own, shape in zip(graph.inputs, functional.inputs, shapes, strict=True):
        specs[id(tensor)] = keras.KerasTensor((own.shape[0] or 1, *shape), own.dtype)
    for call in graph.calls:
        args, kwargs = tree.map_structure(
            lambda each: specs[id(each)] if isinstance(each, Tensor) else each,
            (call.args, call.kwargs),
        )
        specs.update(zip(map(id, call.outputs), _specs(call.operation, args, kwargs), strict=True))
    return {key: tuple(spec.shape) for key, spec in specs.items()}


def _specs(operation, args, kwargs):
    specs = tree.flatten(operation.compute_output_spec(*args, **kwargs))
    if any(None in each.shape for each in specs):
        # `EinsumDense` returns the `output_shape` of its config; tracing its call gives all sizes.
        specs = tree.flatten(keras.Operation.compute_output_spec(operation, *args, **kwargs))
    return specs


def _is_fixed(tensor):
    return None not in tensor.shape[1:]


def input_shapes(model, input_shape=None):
    """Returns the shapes of all inputs, without the batch axis; None for an undefined size."""
    own = [tuple(each.shape[1:]) for each in functional_of(model).inputs]
    if input_shape is None:
        return own
    shapes = _shapes_of(input_shape)
    if len(shapes) != len(own) or not all(map(_fits, own, shapes)):
        raise ValueError(
            "`input_shape` must fit the inputs of the model, without the batch axis: "
            f"{own[0] if len(own) == 1 else own}. Received: input_shape={input_shape!r}"
        )
    return shapes


def _shapes_of(input_shape):
    """Returns the given shapes as a list of tuples; empty if the argument is not a shape."""
    try:
        if isinstance(input_shape, dict):
            # Keras flattens dicts in the order of their keys.
            return [tuple(input_shape[key]) for key in sorted(input_shape)]
        if all(isinstance(each, int) for each in input_shape):
            return [tuple(input_shape)]
        return [tuple(each) for each in input_shape]
    except TypeError:
        return []


def _fits(own, shape):
    return len(own) == len(shape) and all(
        size == given or (size is None and isinstance(given, int))
        for size, given in zip(own, shape, strict=True)
    )
