"""The calls of a model in order, nested models entered: what runs, on what."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import tree


class Tensor:
    """What flows between two calls.

    Attributes:
        shape: static; None where it is unknown.
        labels: `{axis: int array}`, a label for every coordinate of an axis that may get smaller.
        constants: `{axis: array}`, the value that is everywhere at a coordinate, NaN if it varies.
        padding: the call that put zeros around the constants, or None: then they are everywhere.
    """

    def __init__(self, shape):
        self.shape = tuple(shape)
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
    def inputs(self):
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
    """Whether an operation is a nested model with a graph."""
    return isinstance(operation, keras.Sequential) or hasattr(operation, "_nodes_by_depth")


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
    graph.inputs = [Tensor(each.shape) for each in functional.inputs]
    graph.outputs = _trace(functional, graph.inputs, graph)
    return graph


def _trace(functional, inputs, graph):
    found = {id(each): tensor for each, tensor in zip(functional.inputs, inputs, strict=True)}
    for each, tensor in zip(functional.inputs, inputs, strict=True):
        graph.borders.setdefault(id(each), []).append(tensor)
    for node in nodes_of(functional):
        args, kwargs = node.arguments.fill_in(found)
        if is_model(node.operation):
            # A mask comes with the inputs; it has no labels.
            entering = tree.flatten(args[0] if args else kwargs["inputs"])
            outputs = _trace(functional_of(node.operation), entering, graph)
        else:
            outputs = [Tensor(each.shape) for each in node.outputs]
            graph.calls.append(Call(node.operation, args, kwargs, outputs))
        found.update(zip(map(id, node.outputs), outputs, strict=True))
    return [found[id(each)] for each in functional.outputs]
