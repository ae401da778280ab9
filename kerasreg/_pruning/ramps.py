"""Schedules that increase the sparsity from an initial to a final value."""

import math

from kerasreg._common import validation
from kerasreg._pruning.timeline import Schedule, validate_sparsity


class _Ramp(Schedule):
    """The base class of schedules from an initial to a final sparsity."""

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
                f"stay zero. Received: initial_sparsity={initial_sparsity!r}, "
                f"final_sparsity={final_sparsity!r}"
            )

    def sparsity(self, step, begin, end):
        progress = (step - begin) / (end - begin) if end > begin else 1.0
        gap = self.final_sparsity - self.initial_sparsity
        # In this order, the final sparsity has no rounding error.
        return self.final_sparsity - gap * self._rest(progress)

    def _rest(self, progress):
        """Returns the fraction of the increase that remains, from 1 to 0, at this progress."""
        raise NotImplementedError


class Polynomial(_Ramp):
    """A sparsity of `final + (initial - final) * (1 - p)^power`, where `p` is the progress.

    The progress `p` is 0 at `begin_step` and 1 at `end_step`. With `power` above 1, the sparsity
    rises fast at first, when many weights are redundant, and slowly towards the end.

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction that is zero from `begin_step` on, at most `final_sparsity`.
        power: the exponent, above 0; 1 makes the schedule linear.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Raises:
        ValueError: for invalid arguments.

    Source: Zhu & Gupta (2017), "To Prune, or Not to Prune", with a power of 3.

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
    """A sparsity of `initial + (final - initial) * p`, where `p` is the progress.

    The progress `p` is 0 at `begin_step` and 1 at `end_step`.

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction that is zero from `begin_step` on, at most `final_sparsity`.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> kerasreg.schedules.Linear(0.8).sparsity(step=50, begin=0, end=100)
    0.4
    """

    def _rest(self, progress):
        return 1.0 - progress


class Cosine(_Ramp):
    """A sparsity of `initial + (final - initial) * (1 - cos(pi * p)) / 2`, for a progress `p`.

    The progress `p` is 0 at `begin_step` and 1 at `end_step`. The sparsity rises slowly at both
    ends.

    Args:
        final_sparsity: the fraction of the weights that is zero at the end, from 0.0 to 1.0.
        initial_sparsity: the fraction that is zero from `begin_step` on, at most `final_sparsity`.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> round(kerasreg.schedules.Cosine(0.8).sparsity(step=50, begin=0, end=100), 3)
    0.4
    """

    def _rest(self, progress):
        return (1.0 + math.cos(math.pi * progress)) / 2.0
