"""What a model computes: floating-point operations, counted from its graph."""

import keras
import numpy as np
from keras import tree

from kerasreg._common.types import InputShape
from kerasreg._graph.tracing import Tensor, functional_of, trace
from kerasreg._shrinking.costs import costs, total
from kerasreg._shrinking.costs.base import UnknownSizeError


def flops(model: keras.Model, input_shape: InputShape = None) -> int | None:
    """The floating-point operations of one inference of one sample.

    Two for every multiply-add of a kernel, of attention and of a matrix product; one for every
    element of a bias, an activation, a normalization, a sum, a pooling and the like, counted in
    their input or their output, whichever is larger; none for what moves or selects numbers.

    Args:
        model: a built Functional or Sequential model, nested ones inside of it included.
        input_shape: the shape of one sample, where the model leaves it open: a tuple; for several
            inputs a list or a dict of tuples like the inputs.

    Returns:
        An int, or None where a size is open or a layer unknown (`Lambda`, your own): see
        `kerasreg.shrinking.cost_of`.

    Raises:
        ValueError: for an unbuilt or subclassed model, or an `input_shape` that does not fit.

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
    if not isinstance(model, keras.Model) or not hasattr(functional_of(model), "_nodes_by_depth"):
        kind = type(model).__name__
        raise ValueError(
            "`kerasreg.flops` needs a built Functional or Sequential model, because it follows the "
            f"graph of its layers. Received: {getattr(model, 'name', model)!r}, a {kind}. Build it "
            "as `keras.Model(inputs, outputs)`, or start a Sequential with `keras.Input(shape)`."
        )


class Shapes:
    """The shapes of tensors and variables: as they are, or without what is gone.

    Args:
        sizes: `{id(tensor): shape}` for tensors whose own leaves something open.
        analysis, gone: an `Analysis`, and which labels are gone, a bool array; or None.
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
    """`{id(tensor): shape}` for one sample of this shape; empty where no size is open."""
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
        # `EinsumDense` says what it was told; tracing its call tells all.
        specs = tree.flatten(keras.Operation.compute_output_spec(operation, *args, **kwargs))
    return specs


def _is_fixed(tensor):
    return None not in tensor.shape[1:]


def input_shapes(model, input_shape=None):
    """The shapes of all inputs, without the batch; None where one is open."""
    own = [tuple(each.shape[1:]) for each in functional_of(model).inputs]
    if input_shape is None:
        return own
    shapes = _shapes_of(input_shape)
    if len(shapes) != len(own) or not all(map(_fits, own, shapes)):
        raise ValueError(
            "`input_shape` must fit the inputs of the model, without the batch: "
            f"{own[0] if len(own) == 1 else own}. Received: input_shape={input_shape!r}"
        )
    return shapes


def _shapes_of(input_shape):
    """The shapes that were given, a tuple each; none for what is no shape."""
    try:
        if isinstance(input_shape, dict):
            # Keras orders dicts by their keys.
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
