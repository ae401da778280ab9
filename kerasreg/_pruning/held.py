"""A check that a custom training loop keeps the zeros of pruning."""

import numpy as np

from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view


class HeldZeros:
    """Checks, after the first update that follows a pruning, that its zeros are kept.

    A stateless loop on JAX that does not write its state back continues with older weights or
    older masks.

    Args:
        masks: a `HoldUpdate`.
        variables: the variables that it masks.
        caller: the name of the callback or function, for messages.
    """

    def __init__(self, masks, variables, caller):
        self._masks, self._variables, self._caller = masks, variables, caller
        #: `{id(variable): number of weights that its mask holds at zero}`.
        self._counts, self._since, self._was_checked = {}, 0, False

    def remember(self, alive, step):
        """Records that the masks `alive`, `{id(variable): bool array}`, were set in this step."""
        self._counts = {key: mask.size - np.count_nonzero(mask) for key, mask in alive.items()}
        self._since, self._was_checked = step, False

    def check(self, step):
        """Raises a `RuntimeError` if the first update after a pruning has undone it."""
        if not self._counts or self._was_checked or step <= self._since:
            return
        lost, grown, held = self._lost(), self._grown(), sum(self._counts.values())
        if lost or grown:
            raise RuntimeError(
                f"`{self._caller}` holds {held} weights at zero since step {self._since}, "
                f"but after the next update {lost} of them have no mask and {grown} are not zero: "
                "the loop continued with the state from before the pruning. Write the state "
                "(weights and optimizer) back before `step()`, and read it again afterwards."
            )
        self._was_checked = True

    def check_at_end(self, step):
        """Does `check` at the end of a loop, and warns if weights were set since the last check."""
        is_due = self._counts and not self._was_checked and step > self._since
        self.check(step)
        if self._counts and not is_due and self._lost() + self._grown():
            warn(
                f"`{self._caller}`: {self._grown()} pruned weights are not zero at the end of the "
                "context, because they were set after the last `step()`. They are set to zero now.",
                RuntimeWarning,
            )

    def _lost(self):
        """Returns how many pruned weights are no longer masked."""
        zeros = {id(v): np.count_nonzero(~self._masks.alive(v)) for v in self._variables}
        return sum(abs(self._counts[key] - zeros[key]) for key in self._counts)

    def _grown(self):
        """Returns how many masked weights are not zero."""
        alive = [(host_view(v), self._masks.alive(v)) for v in self._variables]
        return sum(np.count_nonzero((weights != 0) & ~mask) for weights, mask in alive)
