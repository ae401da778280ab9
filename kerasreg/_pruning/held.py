"""Whether a loop of one's own goes on with the zeros that pruning has made."""

import numpy as np

from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view


class HeldZeros:
    """The zeros that masks hold since the last pruning, and a check after the next update.

    A stateless loop on JAX that does not write its state back goes on with older weights, or with
    older masks.

    Args:
        masks: a `HoldUpdate`.
        variables: what it holds.
        caller: the name of the callback or function, for messages.
    """

    def __init__(self, masks, variables, caller):
        self._masks, self._variables, self._caller = masks, variables, caller
        #: `{id(variable): how many weights its mask holds at zero}`.
        self._counts, self._since, self._was_checked = {}, 0, False

    def remember(self, alive, step):
        """These masks, `{id(variable): bool array}`, are set in this step."""
        self._counts = {key: mask.size - np.count_nonzero(mask) for key, mask in alive.items()}
        self._since, self._was_checked = step, False

    def check(self, step):
        """Raise a `RuntimeError` if the first update after the pruning went on without it."""
        if not self._counts or self._was_checked or step <= self._since:
            return
        lost, grown, held = self._lost(), self._grown(), sum(self._counts.values())
        if lost or grown:
            raise RuntimeError(
                f"`{self._caller}` holds {held} weights at zero since step {self._since}, "
                f"and after the next update {lost} of them have no mask and {grown} are not zero: "
                "the loop went on with the state from before the pruning. Write the state (weights "
                "and optimizer) back before `step()`, and read it again behind it."
            )
        self._was_checked = True

    def check_at_end(self, step):
        """As `check`, on leaving a loop; warn of weights that were set since the last check."""
        is_due = self._counts and not self._was_checked and step > self._since
        self.check(step)
        if self._counts and not is_due and self._lost() + self._grown():
            warn(
                f"`{self._caller}`: {self._grown()} weights are not zero on leaving that masks "
                "hold, because something has set them since the last `step()`. They are set to "
                "zero now.",
                RuntimeWarning,
            )

    def _lost(self):
        """How many weights are no longer held that were pruned."""
        zeros = {id(v): np.count_nonzero(~self._masks.alive(v)) for v in self._variables}
        return sum(abs(self._counts[key] - zeros[key]) for key in self._counts)

    def _grown(self):
        """How many weights are not zero that the masks hold."""
        alive = [(host_view(v), self._masks.alive(v)) for v in self._variables]
        return sum(np.count_nonzero((weights != 0) & ~mask) for weights, mask in alive)
