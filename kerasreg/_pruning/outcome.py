"""The result of a pruning run, compared with its schedule."""

from dataclasses import dataclass

from kerasreg._common.warn import warn

#: The tolerance of fractions of zeros, which are sums over many weights.
_EXACT = 1e-9


@dataclass(frozen=True)
class Outcome:
    """The sparsity that a run should reach, and the one that it reached.

    Attributes:
        caller: the name of the callback or function that prunes, for messages.
        step: the last optimizer step after which the schedule prunes.
        asked: the sparsity that the schedule has there.
        done: the number of optimizer steps of the run.
        reached: the sparsity of the schedule in the last pruning.
        held: the fraction of zeros due to pruning at the end of the last step.
    """

    caller: str
    step: int
    asked: float
    done: int
    reached: float
    held: float

    def warn(self, zeros, remedy, restored=None):
        """Warns if the weights have fewer zeros than the schedule asks for.

        Args:
            zeros: the fraction of zeros in the weights.
            remedy: the advice for a run that ended too early.
            restored: the advice for weights that were restored from before a pruning.
        """
        is_early = self.reached < self.asked - _EXACT
        is_older = zeros < self.held - _EXACT
        if not is_early and not is_older:
            return
        text = (
            f"`{self.caller}` should reach {self.asked:.1%} zeros, but the model has {zeros:.1%}: "
        )
        if is_early:
            text += (
                f"the run ended after {self.done:,} steps of the optimizer, and the last pruning "
                f"was due after {self.step:,}. {remedy} "
            )
        if is_older:
            another = "Another" if is_early else "another"
            text += (
                f"{another} callback set weights from before the last pruning, after which there "
                f"were {self.held:.1%} zeros. They are left unchanged. {restored}"
            )
        warn(text.strip())


def remedies_of_fit(epoch):
    """Returns the advice for a fit that ended too early, and for one that restored weights."""
    wait = f"`EarlyStopping(start_from_epoch={epoch})`"
    return (
        f"Train longer ({wait} does not stop before the schedule ends; data need enough batches, "
        "see `.repeat()`), or lower `end_step`.",
        f"To choose the best epoch among those with all zeros, pass {wait}; a callback of your own "
        f"should ignore epochs before {epoch} as well.",
    )
