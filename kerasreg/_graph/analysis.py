"""The results of the rules for a graph: labels, and the variables and readers that use them."""

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
    """A part of an operation that reads coordinates and writes others: `outputs = f(inputs)`.

    A coordinate has one or several labels (an element of attention also has the label of its
    head). It is removed if any of its labels is removed.

    Attributes:
        labels: int array `(k, inputs)`, the labels of the inputs.
        writes: int array `(k, outputs)`, the labels of the outputs.
        connected: bool array `(inputs, outputs)`: whether an output depends on an input.
        constants: float array `(inputs,)`, the value of each constant input, NaN for the others.
        fold: a function that maps the values of constant inputs, `(inputs,)`, to their
            contributions to the outputs, `(outputs,)`; None if these depend on the position.
        bias: `(layer, name, place)` of the bias that can absorb these contributions, or None;
            `place` is its index among the biases of the layer.
        kernel: the variable in which one constant input can carry others, or None.
        axis: the input axis of `kernel`.
        share: a key that is the same for all calls that share one bias, or None. The constants of
            these calls must agree.
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
    """Raised if the rule of an operation fails; the operation is then not changed.

    Attributes:
        operation: the operation.
        cause: the exception of its rule.
        reason: a text for the report.
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
    """A context that turns any exception into a `RuleError` of an operation."""
    try:
        yield
    except RuleError:
        raise
    except Exception as error:
        raise RuleError(operation, error) from error


class Analysis:
    """The labels of a traced model: coordinates with the same label are removed together.

    It is passed to the methods of rules: see `kerasreg.shrinking.Rule`.

    Args:
        model: a Functional or Sequential model.
        rule_of: a function that returns the rule of an operation.

    Raises:
        RuleError: if a rule raises; see `analyse.py`.
    """

    def __init__(self, model: keras.Model, rule_of: Callable):
        self.rule_of = rule_of
        self.graph = trace(model)
        self.labels = Labels()
        #: Indexed by the id of the variable.
        self.slices: dict[int, Slice] = {}
        self.readers: list[Reader] = []
        #: Reasons why layers without labels are not changed.
        self.notes: list[str] = []
        #: Whether units that are coupled now may be removable individually in the smaller model.
        self.is_coarse = False
        #: `(analysis, dead)` of the smaller model, if that was reduced again.
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
        #: `roots[label]` is equal for all unified labels, and 0 for labels that are kept.
        self.roots = self.labels.roots()
        for call in self.graph.calls:
            with attributed_to(call.operation):
                rule_of(call.operation).constants(call, self)
                self.readers += rule_of(call.operation).readers(call, self)

    def is_shared(self, operation: keras.Operation) -> bool:
        """Returns whether an operation is called several times."""
        return self._times[id(operation)] > 1

    def slice(self, variable: keras.Variable | None, axes: dict[int, np.ndarray | None]) -> None:
        """Gives axes of a variable their labels.

        If the layer is called several times, the labels of all calls are unified.

        Args:
            variable: a variable of the layer; None does nothing.
            axes: `{axis: int array of labels}`; None instead of an array keeps the whole axis.
        """
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
        """Adds to the report a reason why a layer without labels is not changed."""
        if reason not in self.notes:
            self.notes.append(reason)

    def pin(self, tensor: Tensor, reason: str) -> None:
        """Keeps all coordinates of a tensor, for a reason that the report gives."""
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
