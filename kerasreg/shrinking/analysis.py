"""What the rules find out about a graph: labels, who has them, and who reads them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

from kerasreg.shrinking.graph import Tensor, trace
from kerasreg.shrinking.labels import Labels


@dataclass
class Slice:
    """A variable whose axes have labels."""

    variable: keras.Variable
    axes: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass
class Reader:
    """A layer that reads the coordinates of one axis of a tensor, linearly.

    Attributes:
        layer: its weights are shared by all of its calls.
        labels: of what it reads, `(inputs,)`.
        writes: labels of what it computes, `(outputs,)`, or None if that has none.
        constants: the value of each input that is constant, NaN elsewhere, `(inputs,)`.
        connected: bool `(inputs, outputs)`: whether an output takes anything of an input.
        sums: `(inputs, outputs)`: what it takes of an input that is 1 everywhere.
        uniform: whether an input that is constant gives an output that is the same everywhere.
        kernel, axis: the variable that can carry other inputs, and its axis of inputs; or None.
    """

    layer: keras.layers.Layer
    labels: np.ndarray
    writes: np.ndarray | None
    constants: np.ndarray
    connected: np.ndarray
    sums: np.ndarray
    uniform: bool
    kernel: keras.Variable | None
    axis: int


class Analysis:
    """A traced model: a label for everything that may go, and who reads it.

    Args:
        model: a Functional or Sequential model.
        rule_of: the rule of an operation.
    """

    def __init__(self, model, rule_of: Callable):
        self.graph = trace(model)
        self.labels = Labels()
        #: By id of the variable.
        self.slices: dict[int, Slice] = {}
        self.readers: list[Reader] = []
        for tensor in self.graph.inputs:
            tensor.labels = {}
        for call in self.graph.calls:
            rule_of(call.operation).label(call, self)
        self._unify_borders()
        for tensor in self.graph.outputs:
            self.pin(tensor, "an output of the model")
        #: One label for all that are unified; 0 must stay.
        self.roots = self.labels.roots()
        for call in self.graph.calls:
            rule_of(call.operation).constants(call, self)
            self.readers += rule_of(call.operation).readers(call, self)

    def slice(self, variable, axes):
        """The axes of a variable have these labels, at every call of its layer."""
        if variable is None:
            return
        known = self.slices.setdefault(id(variable), Slice(variable))
        for axis, labels in axes.items():
            axis %= len(variable.shape)
            if labels is None:
                labels = np.zeros(variable.shape[axis], int)
            if axis in known.axes:
                self.labels.unify(known.axes[axis], labels)
            else:
                known.axes[axis] = labels

    def pin(self, tensor: Tensor, reason):
        """Nothing of this tensor may go."""
        for labels in tensor.labels.values():
            self.labels.pin(labels, reason)

    def _unify_borders(self):
        # A nested model is rebuilt once, for all of its calls.
        for first, *others in self.graph.borders.values():
            for other in others:
                for axis in {*first.labels, *other.labels}:
                    ours, theirs = first.labels.get(axis), other.labels.get(axis)
                    if ours is None or theirs is None:
                        self.labels.pin(ours, "a nested model that is called several times")
                        self.labels.pin(theirs, "a nested model that is called several times")
                    else:
                        self.labels.unify(ours, theirs)
