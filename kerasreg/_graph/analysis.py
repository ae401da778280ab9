"""What the rules find out about a graph: labels, who has them, and who reads them."""

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import keras
import numpy as np

from kerasreg._graph.labels import Labels
from kerasreg._graph.tracing import Tensor, trace


@dataclass
class Slice:
    """A variable whose axes have labels."""

    variable: keras.Variable
    axes: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass
class Reader:
    """Reads coordinates, and writes others: `outputs = function(inputs)`.

    A coordinate has one label or several (a number of an attention has that of its head, too), and
    goes with any of them.

    Attributes:
        labels: of the inputs, `(several, inputs)`.
        writes: labels of the outputs, `(several, outputs)`.
        connected: bool `(inputs, outputs)`: whether an output takes anything of an input.
        constants: the value of each input that is constant, NaN elsewhere, `(inputs,)`.
        fold: what the outputs take of inputs that have these values everywhere, `(inputs,)` to
            `(outputs,)`; None if that is not the same everywhere.
        bias: `(layer, name, place)` of the bias that can take it over; see `Rebuild`.
        kernel, axis: the variable in which one input can carry others, and its axis; or None.
        share: name of what several calls share, if they do: their constants must agree.
    """

    labels: np.ndarray
    writes: np.ndarray
    connected: np.ndarray
    constants: np.ndarray
    fold: Callable | None = None
    bias: tuple | None = None
    kernel: keras.Variable | None = None
    axis: int = 0
    share: int | None = None


class RuleError(Exception):
    """A rule raised: its operation is to be left as it is.

    Attributes:
        operation: whose rule it is.
        cause: what was raised.
        reason: for the report.
    """

    def __init__(self, operation, error: Exception, reason: str | None = None):
        self.cause = error
        self.operation = operation
        if reason is None:
            kind = type(operation).__name__
            text = " ".join(str(error).split())[:200]
            reason = f"the rule of '{operation.name}' ({kind}) raised {type(error).__name__}"
            reason += f": {text}" if text else ""
        self.reason = reason
        super().__init__(self.reason)


@contextmanager
def attributed_to(operation):
    """What is raised inside of this is a `RuleError` of an operation."""
    try:
        yield
    except RuleError:
        raise
    except Exception as error:
        raise RuleError(operation, error) from error


class Analysis:
    """A traced model: a label for everything that may go, and who reads it.

    Args:
        model: a Functional or Sequential model.
        rule_of: the rule of an operation.

    Raises:
        RuleError: for a rule that raises; see `analyse.py`.
    """

    def __init__(self, model: keras.Model, rule_of: Callable):
        self.rule_of = rule_of
        self.graph = trace(model)
        self.labels = Labels()
        #: By id of the variable.
        self.slices: dict[int, Slice] = {}
        self.readers: list[Reader] = []
        #: What stays although it has no labels, and why.
        self.notes: list[str] = []
        #: Whether units go together only because others are still there.
        self.is_coarse = False
        #: `(analysis, dead)` of the smaller model, where that was reduced again.
        self.again: tuple | None = None
        self._times = Counter(id(call.operation) for call in self.graph.calls)
        for tensor in self.graph.inputs:
            tensor.labels = {}
        for call in self.graph.calls:
            with attributed_to(call.operation):
                rule_of(call.operation).label(call, self)
        self._unify_borders()
        for tensor in self.graph.outputs:
            self.pin(tensor, "an output of the model")
        #: One label for all that are unified; 0 must stay.
        self.roots = self.labels.roots()
        for call in self.graph.calls:
            with attributed_to(call.operation):
                rule_of(call.operation).constants(call, self)
                self.readers += rule_of(call.operation).readers(call, self)

    def is_shared(self, operation: keras.Operation) -> bool:
        """Whether an operation is called several times."""
        return self._times[id(operation)] > 1

    def slice(self, variable: keras.Variable | None, axes: dict[int, np.ndarray | None]) -> None:
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

    def note(self, reason: str) -> None:
        """Something stays that has no labels."""
        if reason not in self.notes:
            self.notes.append(reason)

    def pin(self, tensor: Tensor, reason: str) -> None:
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
