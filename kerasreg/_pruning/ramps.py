"""Schedules that rise from an initial to a final sparsity."""

import math

from kerasreg._common import validation
from kerasreg._pruning.timeline import Schedule, validate_sparsity


class _Ramp(Schedule):
    """From an initial to a final sparsity."""

    is_ramp = True

    def __init__(
        self,
        final_sparsity,
        initial_sparsity=0.0,
        begin_step=0,
        end_step=None,
        frequency=None,
        unit="steps",
    ):
        super().__init__(begin_step, end_step, frequency, unit)
        self.final_sparsity = validate_sparsity(final_sparsity, "final_sparsity")
        self.initial_sparsity = validate_sparsity(initial_sparsity, "initial_sparsity")
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                "`initial_sparsity` must not be above `final_sparsity`, because pruned weights "
                f"stay zero. Received: {initial_sparsity!r} and {final_sparsity!r}"
            )

    def sparsity(self, step, begin, end):
        progress = (step - begin) / (end - begin) if end > begin else 1.0
        gap = self.final_sparsity - self.initial_sparsity
        # In this order the end is exact.
        return self.final_sparsity - gap * self._rest(progress)

    def _rest(self, progress):
        """How much of the way is left, from 1 to 0, when this fraction of the time is over."""
        raise NotImplementedError


class Polynomial(_Ramp):
    """`final + (initial - final) * (1 - p)^power`, `p` being the progress from 0 to 1.

    Fast while there is much to spare, slow towards the end. With the power of 3, the schedule of
    Zhu & Gupta (2017), "To prune, or not to prune".

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction at `begin_step`.
        power: above 0; 1 is linear.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Example:

    >>> schedule = kerasreg.schedules.Polynomial(0.8, begin_step=100, end_step=300)
    >>> [round(schedule.sparsity(step, 100, 300), 3) for step in (100, 200, 300)]
    [0.0, 0.7, 0.8]
    """

    def __init__(
        self,
        final_sparsity: float,
        initial_sparsity: float = 0.0,
        begin_step: int | float = 0,
        end_step: int | float | None = None,
        frequency: int | float | str | None = None,
        power: float = 3,
        unit: str = "steps",
    ):
        super().__init__(final_sparsity, initial_sparsity, begin_step, end_step, frequency, unit)
        self.power = validation.number(power, "power", above=0)

    def _rest(self, progress):
        return (1.0 - progress) ** self.power


class Linear(_Ramp):
    """`initial + (final - initial) * p`, `p` being the progress from 0 to 1.

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction at `begin_step`.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Example:

    >>> kerasreg.schedules.Linear(0.8).sparsity(step=50, begin=0, end=100)
    0.4
    """

    def _rest(self, progress):
        return 1.0 - progress


class Cosine(_Ramp):
    """`initial + (final - initial) * (1 - cos(pi * p)) / 2`: slow at both ends.

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction at `begin_step`.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Example:

    >>> round(kerasreg.schedules.Cosine(0.8).sparsity(step=50, begin=0, end=100), 3)
    0.4
    """

    def _rest(self, progress):
        return (1.0 + math.cos(math.pi * progress)) / 2.0
