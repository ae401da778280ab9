"""Counts the updates of an optimizer, and those that include an `Update`, in the train step."""

import contextlib
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True)
class Counts:
    """The counts of one plain optimizer since `Counter.start`.

    Attributes:
        made: number of updates of the optimizer.
        ours: number of those that included the `Update`.
        of_variables: `[(variable, number of updates in which the `Update` changed it)]`.
    """

    made: int
    ours: int
    of_variables: list


class Counter:
    """Counts updates inside the compiled step, in variables of the optimizer.

    Counting at tracing time is not sufficient, because a loop may run a step that was traced
    earlier. There is one vector per plain optimizer: the number of updates that included the
    `Update`, and for each variable the number of updates that changed it.

    Args:
        hook: the `UpdateHook` of the optimizer.
        variables: the variables that the `Update` changes.
        number: the number of updates that were added to the hook before; part of the names.
    """

    def __init__(self, hook, variables, number):
        self._hook, self._lost, self._vectors, self._places = hook, {}, {}, {}
        for variable in variables:
            part, index = hook.part_of(variable)
            places = self._places.setdefault(id(part), {})
            places.setdefault(index, (len(places) + 1, variable))
        self._parts = [part for part in hook.parts if id(part) in self._places]
        for position, part in enumerate(self._parts):
            shape = (1 + len(self._places[id(part)]),)
            name = f"updates_{number}_{position}"
            vector = hook.state.add(part, name, shape, 0, "int", saved=False)
            self._vectors[id(part)] = vector
        hook.state.around_loading.append(self._around_loading)
        self.start()

    def start(self):
        """Starts counting."""
        for part in self._parts:
            self._lost[id(part)] = 0
            start = np.zeros(self._vectors[id(part)].shape, "int64")
            # A state that is written back later then stays consistent.
            start[0] = finished_updates(part)
            self._vectors[id(part)].assign(start)
        self._start = {id(part): int(finished_updates(part)) for part in self._parts}

    def stop(self):
        """Stops correcting the counts when a checkpoint is loaded."""
        self._hook.state.around_loading.remove(self._around_loading)

    def vector(self, part):
        """Returns the variable with the counts, or None if the optimizer has none."""
        return self._vectors.get(id(part))

    def increment(self, part, variables):
        """Returns the increment of the counts for an update that changes these variables."""
        places = self._places[id(part)]
        more = np.zeros(1 + len(places), "int32")
        more[[0, *(places[part._get_variable_index(each)][0] for each in variables)]] = 1
        return more

    def read(self):
        """Returns the `Counts` of every plain optimizer."""
        return [self._read(part) for part in self._parts]

    def _read(self, part):
        vector = [int(n) for n in ops.convert_to_numpy(self._vectors[id(part)])]
        made = int(finished_updates(part)) - self._start[id(part)]
        ours = made - self._lost[id(part)] - self._behind(part)
        places = self._places[id(part)].values()
        return Counts(made, ours, [(variable, vector[place]) for place, variable in places])

    def _behind(self, part):
        return int(finished_updates(part)) - int(ops.convert_to_numpy(self._vectors[id(part)])[0])

    @contextlib.contextmanager
    def _around_loading(self):
        """Excludes the updates that a loaded checkpoint adds to the optimizer's own count."""
        for part in self._parts:
            self._lost[id(part)] += self._behind(part)
            self._start[id(part)] -= int(finished_updates(part))
        yield
        for part in self._parts:
            self._start[id(part)] += int(finished_updates(part))
            vector = np.array(ops.convert_to_numpy(self._vectors[id(part)]))
            vector[0] = finished_updates(part)
            self._vectors[id(part)].assign(vector)


def finished_updates(optimizer, value=lambda variable: variable):
    """Returns the number of finished updates as a tensor; accumulation steps count as one update.

    Args:
        optimizer: a built optimizer.
        value: a function that returns the value of a variable, see `FitScope.value`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    iterations = ops.convert_to_tensor(value(optimizer._iterations))
    return iterations // (optimizer.gradient_accumulation_steps or 1)


def applications(optimizer):
    """Returns numbers that change with every `apply`, also if it only accumulates gradients."""
    parts = [optimizer]
    while isinstance(parts[-1], keras.optimizers.LossScaleOptimizer):
        parts.append(parts[-1].inner_optimizer)
    scales = [(each.step_counter, each.dynamic_scale) for each in parts[:-1] if each.built]
    plain = [parts[-1], *getattr(parts[-1], "optimizers", [])]
    numbers = [*(each._iterations for each in plain), *(n for pair in scales for n in pair)]
    return [float(ops.convert_to_numpy(number)) for number in numbers]
