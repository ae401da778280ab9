"""Pruning that a search drives, and the last good weights."""

import numpy as np

from kerasreg._common.snapshot import Snapshot
from kerasreg._pruning.session import PruningSession
from kerasreg._pruning.timeline import Run

_STATE, _HISTORY, _ZEROS, _GOOD = "until", "until_history", "until_zeros", "until_good"


class SearchSession(PruningSession):
    """Prunes to the level of a search, and keeps the last good weights, in checkpoints too.

    Args:
        search: the `Search`.

    The other arguments are those of `PruningSession`.
    """

    def __init__(self, model, optimizer, strategy, search, caller, scope=None):
        self.search, self._good, self._zeros, self._pruned_level = search, None, 0.0, -1
        super().__init__(model, optimizer, strategy, caller, scope)

    def start(self):
        """Begin, or go on with the search of a checkpoint."""
        super().start(Run())
        if not self._resume() and self.search.baseline is not None:
            self._keep()
            self.search.raise_level()
            self._back_up()

    def prune_to_level(self):
        """Prune if the search has a new level."""
        level = self.search.level
        if level > self._pruned_level and not self.search.is_over:
            self.prune(self.search.levels[level], self.done())
            self._pruned_level = level

    def judge(self, epoch, value):
        """Take the value of an epoch: keep these weights if they are the best so far."""
        if self.search.judge(epoch, value):
            self._keep()
        self._back_up()

    def restore(self):
        """Return to the last good weights, if there are any."""
        if self._good is None:
            return
        for variable, value in zip(self._kept(), self._good, strict=True):
            variable.assign(value)
        # As Keras does at the end of every fit with `use_ema`.
        for variable, average in self._averages():
            variable.assign(average)

    def lost_zeros(self):
        """The fraction of zeros if it is lower than in the last good weights, or None."""
        zeros = self.zeros()
        return zeros if zeros < self._zeros - 1e-9 else None

    def _keep(self):
        self._good, self._zeros = Snapshot(self._kept()).values, self.zeros()
        self._save_good()

    def _save_good(self):
        for number, value in enumerate(self._good):
            self._save(f"{_GOOD}_{number}", value)

    def _back_up(self):
        """What a fit that is killed needs to go on."""
        state, history = self.search.state()
        self._save(_STATE, state)
        self._save(_HISTORY, history)
        self._save(_ZEROS, np.array(self._zeros, "float64"))

    def _resume(self):
        """Go on where a checkpoint of this fit was; returns whether there is one."""
        state = self._saved(_STATE)
        if state is None:
            return False
        self.search.resume(state, self._saved(_HISTORY))
        self._zeros = float(self._saved(_ZEROS))
        good = [self._saved(f"{_GOOD}_{number}") for number in range(len(self._kept()))]
        if good[0] is not None:
            self._good = good
            self._save_good()
        self._back_up()
        return True

    def _save(self, name, array):
        """Save an array with every checkpoint of this fit, until another of this name comes."""
        self._hook.state.arrays[name] = array

    def _saved(self, name):
        """What a checkpoint of this fit brought under this name, or None."""
        return self._hook.state.restored.get(name)

    def _kept(self):
        return [*self._model.weights, *(average for _, average in self._averages())]

    def _averages(self):
        """`[(variable, its moving average)]` of an optimizer with `use_ema`."""
        found = []
        for variable in self._model.trainable_variables:
            part, index = self._hook.part_of(variable)
            if part.use_ema:
                found.append((variable, part._model_variables_moving_average[index]))
        return found
