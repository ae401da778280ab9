"""The session of `PruneUntil`: pruning to the level of a search."""

import numpy as np

from kerasreg._common.snapshot import Snapshot
from kerasreg._pruning.session import PruningSession
from kerasreg._pruning.timeline import Run

_STATE, _HISTORY, _ZEROS, _GOOD = "until", "until_history", "until_zeros", "until_good"


class SearchSession(PruningSession):
    """Prunes to the level of a search, and saves the last good weights in checkpoints.

    Args:
        search: the `Search`.

    The other arguments are those of `PruningSession`.
    """

    def __init__(self, model, optimizer, strategy, search, caller, scope=None):
        self.search, self._good, self._zeros, self._pruned_level = search, None, 0.0, -1
        super().__init__(model, optimizer, strategy, caller, scope)

    def start(self):
        """Starts the search, or resumes the search of a checkpoint."""
        super().start(Run())
        if not self._resume() and self.search.baseline is not None:
            self._keep()
            self.search.raise_level()
            self._back_up()

    def prune_to_level(self):
        """Prunes if the search has a new level."""
        level = self.search.level
        if level > self._pruned_level and not self.search.is_over:
            self.prune(self.search.levels[level], self.done())
            self._pruned_level = level

    def judge(self, epoch, value):
        """Records the value of an epoch, and keeps its weights if they are the best so far."""
        if self.search.judge(epoch, value):
            self._keep()
        self._back_up()

    def restore(self):
        """Sets the last good weights, if there are any."""
        if self._good is None:
            return
        for variable, value in zip(self._kept(), self._good, strict=True):
            variable.assign(value)
        # Keras does the same at the end of every fit with `use_ema`.
        for variable, average in self._averages():
            variable.assign(average)

    def lost_zeros(self):
        """Returns the fraction of zeros if it is lower than in the last good weights, else None."""
        zeros = self.zeros()
        return zeros if zeros < self._zeros - 1e-9 else None

    def _keep(self):
        self._good, self._zeros = Snapshot(self._kept()).values, self.zeros()
        self._save_good()

    def _save_good(self):
        for number, value in enumerate(self._good):
            self._save(f"{_GOOD}_{number}", value)

    def _back_up(self):
        """Saves the state of the search in checkpoints."""
        state, history = self.search.state()
        self._save(_STATE, state)
        self._save(_HISTORY, history)
        self._save(_ZEROS, np.array(self._zeros, "float64"))

    def _resume(self):
        """Resumes from a checkpoint of this fit. Returns whether there is one."""
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
        """Saves an array in every checkpoint of this fit; replaces an earlier one of this name."""
        self._hook.state.arrays[name] = array

    def _saved(self, name):
        """Returns the array of this name in the restored checkpoint, or None."""
        return self._hook.state.restored.get(name)

    def _kept(self):
        return [*self._model.weights, *(average for _, average in self._averages())]

    def _averages(self):
        """Returns `[(variable, moving average)]` for optimizers with `use_ema`."""
        found = []
        for variable in self._model.trainable_variables:
            part, index = self._hook.part_of(variable)
            if part.use_ema:
                found.append((variable, part._model_variables_moving_average[index]))
        return found
