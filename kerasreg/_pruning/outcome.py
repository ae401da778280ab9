"""What a run of pruning has reached, beside what it was asked for."""

from dataclasses import dataclass

from kerasreg._common.warn import warn

#: Shares of zeros are sums over at most so many weights.
_EXACT = 1e-9


@dataclass(frozen=True)
class Outcome:
    """What a run was to reach, and what it reached.

    Attributes:
        caller: who pruned.
        step: the last step in which the run was to prune.
        asked: the sparsity that it was to reach there.
        done: how many steps the run had.
        reached: the sparsity of the schedule in the last pruning.
        held: the fraction of zeros that pruning had made when the last step was over.
    """

    caller: str
    step: int
    asked: float
    done: int
    reached: float
    held: float

    def warn(self, zeros, remedy, restored=None):
        """Warn unless the weights have the zeros that were asked for.

        Args:
            zeros: the fraction of zeros in them.
            remedy: what to do where the run ended too early.
            restored: what to do where weights of an earlier moment were set.
        """
        is_early = self.reached < self.asked - _EXACT
        is_older = zeros < self.held - _EXACT
        if not is_early and not is_older:
            return
        text = (
            f"`{self.caller}` was to make {self.asked:.1%} zeros, and the model has {zeros:.1%}: "
        )
        if is_early:
            text += (
                f"the run ended after {self.done:,} steps of the optimizer, and the last pruning "
                f"was due after {self.step:,}. {remedy} "
            )
        if is_older:
            text += (
                f"weights were set that come from before the last pruning, which had made "
                f"{self.held:.1%} zeros. They stay as they were set. {restored}"
            )
        warn(text.strip())
