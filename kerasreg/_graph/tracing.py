"""The calls of a model in order, nested models entered: what runs, on what."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import tree

from kerasreg._graph.masks import may_be_masked


class Tensor:
    """What flows between two calls.

    Attributes:
        shape: static; None where it is unknown.
        labels: `{axis: int array}`, a label for every coordinate of an axis that may get smaller.
        constants: `{axis: array}`, the value that is everywhere at a coordinate, NaN if it varies.
        padding: the call that put zeros around the constants, or None: then they are everywhere.
        is_masked: whether it may carry a mask of Keras, which some layers look at.
        dtype: of its numbers.
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
        """The labels of an axis, or None."""
        return self.labels.get(axis % self.rank)

    def constant(self, axis):
        """The constants of an axis."""
        axis %= self.rank
        return self.constants.get(axis, np.full(self.shape[axis] or 0, np.nan))


@dataclass
class Call:
    """One operation on some tensors; its rule may put what it found out into the `memory`."""

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
        borders: for the inputs of nested models, the tensors that came in there at each call.
    """

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    borders: dict[int, list[Tensor]] = field(default_factory=dict)


def functional_of(model):
    """The graph that a Sequential keeps inside, or the model itself."""
    return model._functional if isinstance(model, keras.Sequential) else model


def is_model(operation):
    """Whether an operation is a nested model that computes what its graph says."""
    call = getattr(type(operation), "call", None)
    is_of_keras = getattr(call, "__module__", "").startswith("keras.src.models.")
    if isinstance(operation, keras.Sequential):
        return is_of_keras and hasattr(operation._functional, "_nodes_by_depth")
    return is_of_keras and hasattr(operation, "_nodes_by_depth")


def nodes_of(functional):
    """Its nodes but those of the inputs, in an order in which they can run."""
    # Keras has no public way to walk the graph of a model.
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.operation and not node.is_input:
                yield node


def trace(model):
    """The `Graph` of a Functional or Sequential model."""
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
    """The tensors that a nested model gets; a mask comes with them, and has no labels."""
    arguments = dict(zip(("inputs", "training", "mask"), args, strict=False)) | kwargs
    entering = tree.flatten(arguments["inputs"])
    if arguments.get("mask") is not None:
        for each in entering:
            each.is_masked = True
    return entering


def _masks(args, kwargs):
    """The arguments of a call, with whether it may be masked for each tensor."""
    passed = {name for name, each in kwargs.items() if each is not None}
    args, kwargs = tree.map_structure(
        lambda each: each.is_masked if isinstance(each, Tensor) else None, (args, kwargs)
    )
    if "mask" in passed:
        kwargs = {**kwargs, "mask": True}
    return args, kwargs
