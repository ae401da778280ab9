"""How many updates of an optimizer had an update of ours in them: numbers that the step counts."""

import contextlib
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True)
class Counts:
    """What happened to one plain optimizer since `Counter.start`.

    Attributes:
        made: updates that it made.
        ours: those that were traced or run with the update of ours.
        of_variables: `[(variable, in how many of them it was changed by ours)]`.
    """

    made: int
    ours: int
    of_variables: list


class Counter:
    """Counts inside of the step itself, in variables of the optimizer.

    That a function of ours was called at tracing time tells nothing of the steps that a loop makes
    with an older trace. One vector per plain optimizer: the updates that it has made as far as
    ours was in them, and how many of those changed each variable.

    Args:
        hook: the `UpdateHook` of the optimizer.
        variables: what the update changes.
        number: how many updates the hook had before, for a name.
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
        """Count from here."""
        for part in self._parts:
            self._lost[id(part)] = 0
            start = np.zeros(self._vectors[id(part)].shape, "int64")
            # So that a state which is written back later stays consistent.
            start[0] = finished_updates(part)
            self._vectors[id(part)].assign(start)
        self._start = {id(part): int(finished_updates(part)) for part in self._parts}

    def stop(self):
        """Take no notice any more of checkpoints that are loaded."""
        self._hook.state.around_loading.remove(self._around_loading)

    def vector(self, part):
        """What `count` assigns to, or None if this optimizer changes none of the variables."""
        return self._vectors.get(id(part))

    def increment(self, part, variables):
        """What an update adds to the vector if it changes these variables."""
        places = self._places[id(part)]
        more = np.zeros(1 + len(places), "int32")
        more[[0, *(places[part._get_variable_index(each)][0] for each in variables)]] = 1
        return more

    def read(self):
        """`[Counts]`, one per plain optimizer."""
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
        """A checkpoint moves the optimizer's own count, and those updates were none of here."""
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
    """The number of finished updates, a tensor; an accumulation of gradients counts once.

    `value` reads a variable, see `FitScope.value`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    iterations = ops.convert_to_tensor(value(optimizer._iterations))
    return iterations // (optimizer.gradient_accumulation_steps or 1)


def applications(optimizer):
    """Numbers that change with every `apply`, also with one that made no update."""
    parts = [optimizer]
    while isinstance(parts[-1], keras.optimizers.LossScaleOptimizer):
        parts.append(parts[-1].inner_optimizer)
    scales = [(each.step_counter, each.dynamic_scale) for each in parts[:-1] if each.built]
    plain = [parts[-1], *getattr(parts[-1], "optimizers", [])]
    numbers = [*(each._iterations for each in plain), *(n for pair in scales for n in pair)]
    return [float(ops.convert_to_numpy(number)) for number in numbers]
