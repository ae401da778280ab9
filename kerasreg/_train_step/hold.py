"""A session that keeps zeros."""

from kerasreg._train_step.masks import HoldUpdate, mask_coverage
from kerasreg._train_step.session import UpdateSession


class HoldSession(UpdateSession):
    """Keeps the zeros of some variables, from `hold` on.

    Args:
        variables: the model variables.

    The other arguments are those of `Session`.
    """

    def __init__(self, model, optimizer, variables, caller, scope=None):
        self._variables = list(variables)
        super().__init__(model, optimizer, caller, scope)

    @property
    def variables(self):
        """The variables whose zeros are kept."""
        return self._variables

    def hold(self):
        """Holds all weights that are zero now."""
        self._updates[0].hold()

    def follow(self):
        """Releases weights that another callback has set to a nonzero value."""
        self._updates[0].follow()

    def was_restored(self):
        """Returns whether the masks were loaded from a checkpoint."""
        return self._updates[0].was_restored()

    def _make_updates(self):
        return [HoldUpdate(self.variables, self._active)]

    def _make_coverage(self):
        (update,) = self._updates
        return mask_coverage(self._model, self._optimizer, self.variables, update, self._caller)
