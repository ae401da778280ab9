"""The graph of a model: its calls in order, including those of nested models."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import tree

from kerasreg._graph.masks import may_be_masked


class Tensor:
    """A tensor between two calls.

    Attributes:
        shape: static shape, with None for undefined sizes.
        labels: `{axis: int array}`, a label for every coordinate of each axis that may shrink.
        constants: `{axis: float array}`, the value of each constant coordinate, NaN for others.
        padding: the call that added zeros around the constants, or None without padding.
        is_masked: whether it may have a Keras mask at run time.
        dtype: its dtype.
    """

    def __init__(self, shape, is_masked=False, dtype=None):
        self.shape, self.dtype = tuple(shape), dtype
        self.is_masked = is_masked
        self.labels = {}
        self.constants = {}
        self.padding = None

    @property
    def rank(self):
        return len(self.shape)

    def label(self, axis):
        """Returns the labels of an axis, or None."""
        return self.labels.get(axis % self.rank)

    def constant(self, axis):
        """Returns the constants of an axis."""
        axis %= self.rank
        return self.constants.get(axis, np.full(self.shape[axis] or 0, np.nan))


@dataclass
class Call:
    """One call of a layer or operation in the graph of a model.

    Attributes:
        operation: the layer or operation.
        args, kwargs: its arguments, in which tensors are `Tensor` objects.
        outputs: the output tensors.
        memory: a dict in which the rule of the operation may store results.
    """

    operation: keras.Operation
    args: tuple
    kwargs: dict
    outputs: list[Tensor]
    memory: dict = field(default_factory=dict)

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors among the arguments."""
        found = tree.flatten((self.args, self.kwargs))
        return [each for each in found if isinstance(each, Tensor)]


@dataclass
class Graph:
    """All calls of a model, in an order in which they can run.

    Attributes:
        inputs, outputs: the tensors of the model.
        calls: the calls.
        borders: `{id(input of a nested model): its tensor in each call of that model}`.
    """

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    borders: dict[int, list[Tensor]] = field(default_factory=dict)


def functional_of(model):
    """Returns the Functional model inside a Sequential, or the model itself."""
    return model._functional if isinstance(model, keras.Sequential) else model


def is_model(operation):
    """Returns whether an operation is a model whose graph defines its computation."""
    call = getattr(type(operation), "call", None)
    is_of_keras = getattr(call, "__module__", "").startswith("keras.src.models.")
    if isinstance(operation, keras.Sequential):
        return is_of_keras and hasattr(operation._functional, "_nodes_by_depth")
    return is_of_keras and hasattr(operation, "_nodes_by_depth")


def nodes_of(functional):
    """Yields the nodes of a model, without its inputs, in an order in which they can run."""
    # Keras has no public function for this.
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.operation and not node.is_input:
                yield node


def trace(model):
    """Returns the `Graph` of a Functional or Sequential model."""
    graph = Graph()
    functional = functional_of(model)
    graph.inputs = [Tensor(each.shape, False, each.dtype) for each in functional.inputs]
    graph.outputs = _trace(functional, graph.inputs, graph)
    return graph


def _trace(functional, inputs, graph):
    found = {id(each): tensor for each, tensor in zip(functional.inputs, inputs, strict=True)}
    for each, tensor in zip(functional.inputs, inputs, strict=True):
        graph.borders.setdefault(id(each), []).append(tensor)
    for node in nodes_of(functional):
        args, kwargs = node.arguments.fill_in(found)
        if is_model(node.operation):
            outputs = _trace(functional_of(node.operation), _entering(args, kwargs), graph)
        else:
            is_masked = may_be_masked(node.operation, *_masks(args, kwargs), node.outputs)
            pairs = zip(node.outputs, is_masked, strict=True)
            outputs = [Tensor(each.shape, mask, each.dtype) for each, mask in pairs]
            graph.calls.append(Call(node.operation, args, kwargs, outputs))
        found.update(zip(map(id, node.outputs), outputs, strict=True))
    return [found[id(each)] for each in functional.outputs]


def _entering(args, kwargs):
    """Returns the input tensors of the call of a nested model, masked if there is a mask."""
    arguments = dict(zip(("inputs", "training", "mask"), args, strict=False)) | kwargs
    entering = tree.flatten(arguments["inputs"])
    if arguments.get("mask") is not None:
        for each in entering:
            each.is_masked = True
    return entering


def _masks(args, kwargs):
    """Returns the arguments of a call, with a bool for each tensor: whether it may be masked."""
    passed = {name for name, each in kwargs.items() if each is not None}
    args, kwargs = tree.map_structure(
        lambda each: each.is_masked if isinstance(each, Tensor) else None, (args, kwargs)
    )
    if "mask" in passed:
        kwargs = {**kwargs, "mask": True}
    return args, kwargs
