"""Checks that every update of the weights included an `Update`, and reports those that did not."""

import math
import zlib

import keras
import numpy as np

from kerasreg._common.texts import listed
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._train_step.counter import applications
from kerasreg._train_step.hook import served_elsewhere


class Coverage:
    """Compares the updates of an optimizer with those that included an `Update`.

    Call `start` first, `look` during training, and `look_back` at the end.

    Args:
        optimizer: the optimizer that is expected to train the variables.
        variables: the variables that are expected to be updated.
        update: the `Update`, or None to check only that the optimizer makes updates.
        caller: name of the callback or function, for messages.
        what: what every update should have, such as "a proximal step".
        loss: a clause with the consequence if it is missing.
        way_out: a sentence with the remedy for weights that another optimizer trains.
    """

    def __init__(self, optimizer, variables, update, caller, what, loss, way_out):
        self._optimizer, self._variables, self._update = optimizer, list(variables), update
        self._caller, self._what, self._loss, self._way_out = caller, what, loss, way_out
        self._warned = set()

    def start(self, remember=False):
        """Starts the comparison at the current state; `remember` stores the current weights."""
        if self._update is not None:
            self._update.counter.start()
        self._begun, self._calls, self._next = applications(self._optimizer), 0, 1
        self._seen = {}
        self._left = self._variables
        if remember:
            self._moved(self._variables)

    def look_again(self):
        """Calls `look` in call 1, 2, 4, 8 and so on, while variables are unchecked."""
        if self.is_time():
            self.look()

    def is_time(self):
        """Counts a batch. Returns whether to call `look` now."""
        self._calls += 1
        if self._calls < self._next:
            return False
        self._next *= 2
        return True

    @property
    def advanced(self):
        """Whether the optimizer was applied since `start`."""
        return applications(self._optimizer) != self._begun

    def look(self):
        """Raises a `RuntimeError` if weights were trained without the `Update`."""
        if not self._is_on():
            return
        if not self.advanced:
            self._require_unmoved(self._left)
            return
        made, ours = self._made()
        if not made:
            # Gradients were accumulated, or the loss scale was too large.
            return
        if self._update is not None and not ours:
            raise RuntimeError(self._none_of(made))
        self._left = self._uncovered()
        self._require_unmoved(self._left)
        if not self._left:
            self._next = math.inf

    def look_back(self, strict):
        """Checks at the end of an epoch or loop that all updates included the `Update`.

        Args:
            strict: whether to raise an error if some updates did not; otherwise warn.
        """
        self.look()
        made, ours = self._made() if self._is_on() else (0, 0)
        if ours < made and "some" not in self._warned:
            message = self._some_of(made, ours)
            if strict:
                raise RuntimeError(message)
            self._warn("some", message)
        if self._left and ours:
            self._warn("left", self._without_gradient(made))

    def require_advanced(self, received):
        """Raises a `RuntimeError` if the optimizer was not applied."""
        if not self.advanced:
            raise RuntimeError(
                f"`{self._caller}` was active, but the optimizer {self._name()} made no update. "
                f"Only its updates include {self._what}. Received: {received} {self._way_out}"
            )

    def _is_on(self):
        return self._update is None or self._update.counter is not None

    def _made(self):
        """Returns `(updates of the optimizer, those that included the `Update`)`."""
        if self._update is None:
            return int(self.advanced), int(self.advanced)
        counts = self._update.counter.read()
        return sum(each.made for each in counts), sum(each.ours for each in counts)

    def _uncovered(self):
        if self._update is None:
            return []
        counts = self._update.counter.read()
        never = [variable for each in counts for variable, n in each.of_variables if not n]
        served = {id(each) for each in served_elsewhere(self._update)} if never else ()
        return [each for each in never if id(each) not in served]

    def _require_unmoved(self, variables):
        moved = self._moved(variables)
        if not moved:
            return
        made, _ = self._made()
        count = f"made {made} updates, none of them of these weights" if made else "made no update"
        raise RuntimeError(
            f"`{self._caller}`: {_paths(moved)} changed, while the optimizer {self._name()} "
            f"{count}: {self._loss}. Something else updates them: another optimizer of Keras or of "
            f"the backend (`torch.optim`, optax), or a loop that does not write the state of the "
            f"optimizer back. {self._way_out}"
        )

    def _moved(self, variables):
        """Returns the variables that changed since the last call."""
        moved = []
        for variable in variables:
            before, now = self._seen.get(id(variable)), _fingerprint(variable)
            self._seen[id(variable)] = now
            # More zeros mean that pruning changed the weights, and not the step of an optimizer.
            is_new = before is not None and now is not None and now[0] != before[0]
            if is_new and now[1] >= before[1]:
                moved.append(variable)
        others = served_elsewhere(self._update) if moved and self._update is not None else []
        served = {id(each) for each in others}
        return [each for each in moved if id(each) not in served]

    def _name(self):
        return f"'{self._optimizer.name}'"

    def _none_of(self, made):
        return (
            f"`{self._caller}` was active, and the optimizer {self._name()} made {made} updates, "
            f"but none had {self._what}: {self._loss}. The train step was compiled before. Trace "
            "it inside the context. In a `fit`, `train_step` must not call a compiled function "
            "that was called before."
        )

    def _some_of(self, made, ours):
        return (
            f"`{self._caller}` was active, but only {ours} of {made} updates of the optimizer "
            f"{self._name()} had {self._what}: {self._loss} in the others. They ran in a step "
            "that was compiled before, or outside the train step. (A step is compiled again for a "
            "batch of another size.) Trace the step inside the context."
        )

    def _without_gradient(self, made):
        return (
            f"`{self._caller}` did not change {_paths(self._left)} in {made} updates of the "
            f"optimizer {self._name()}: the loss gives them no gradient, or something else trains "
            f"them. {self._way_out}"
        )

    def _warn(self, key, message):
        if key not in self._warned:
            self._warned.add(key)
            warn(message, UserWarning)


def other_optimizers(model):
    """Returns a sentence that lists the optimizers of a model other than that of `compile`."""
    names = [
        name
        for name, each in vars(model).items()
        if isinstance(each, keras.optimizers.Optimizer)
        and each is not getattr(model, "optimizer", None)
        and not name.startswith("_")
    ]
    return f"'{model.name}' also has the optimizers {listed(map(repr, names))}. " if names else ""


def _paths(variables):
    return listed(repr(variable.path) for variable in variables)


def _fingerprint(variable):
    """Returns `(checksum, number of nonzero values)`, or None for values on other hosts."""
    if not getattr(variable.value, "is_fully_addressable", True):
        return None
    values = np.ascontiguousarray(host_view(variable))
    return zlib.crc32(values.reshape(-1).view("uint8")), int(np.count_nonzero(values))
