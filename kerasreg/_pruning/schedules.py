"""Schedules that are not ramps, and the conversion of arguments to schedules."""

import math
from collections.abc import Callable

from kerasreg._common import validation
from kerasreg._pruning.ramps import Polynomial
from kerasreg._pruning.timeline import Schedule, validate_sparsity


class Constant(Schedule):
    """The same sparsity from `begin_step` on.

    With `regrow` or `hold=False`, the weights to prune are chosen again every `frequency` steps;
    otherwise the first choice is kept. Without an `end_step`, the last pruning is at three quarters
    of the run, or there is none if the length of the run is unknown.

    Args:
        sparsity: the fraction of the weights that is zero, from 0.0 to 1.0.
        begin_step, end_step, frequency, unit: see `Schedule`.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> kerasreg.schedules.Constant(0.5).final
    0.5
    """

    def __init__(
        self,
        sparsity: float,
        begin_step: int | float = 0,
        end_step: int | float | None = None,
        frequency: int | float | str | None = None,
        unit: str = "steps",
    ):
        super().__init__(begin_step, end_step, frequency, unit)
        self._sparsity = validate_sparsity(sparsity, "sparsity")

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        return self._sparsity

    def _default_end(self, run):
        return math.inf if run.steps is None else 3 * run.steps // 4


class OneShot(Schedule):
    """A single pruning after `step` optimizer steps.

    Args:
        sparsity: the fraction of the weights that is zero from then on, from 0.0 to 1.0.
        step: when to prune; 0 is before the first step.
        unit: the unit of `step`, see `Schedule`.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> kerasreg.schedules.OneShot(0.5, step=2, unit="epochs").final
    0.5
    """

    def __init__(self, sparsity: float, step: float = 0, unit: str = "steps"):
        super().__init__(step, step, 1, unit)
        self._sparsity = validate_sparsity(sparsity, "sparsity")

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        return self._sparsity


class Function(Schedule):
    """A sparsity that a function computes from the number of finished steps.

    Args:
        function: takes an int, the number of finished optimizer steps of this run, and returns a
            float from 0.0 to 1.0.
        begin_step, end_step, frequency, unit: see `Schedule`. Without an `end_step`, the schedule
            continues to the end of the run.

    Raises:
        ValueError: for invalid arguments; in training, for a sparsity outside of 0.0 to 1.0.

    Example:

    >>> schedule = kerasreg.schedules.Function(lambda step: 0.5 if step < 100 else 0.75)
    >>> schedule.sparsity(step=100, begin=0, end=200)
    0.75
    """

    def __init__(
        self,
        function: Callable,
        begin_step: int | float = 0,
        end_step: int | float | None = None,
        frequency: int | float | str | None = None,
        unit: str = "steps",
    ):
        super().__init__(begin_step, end_step, frequency, unit)
        self._function = validation.function(function, "function")

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        return validate_sparsity(self._function(step), f"the schedule in step {step}")

    @property
    def final(self) -> float | None:
        return None

    def _default_end(self, run):
        return math.inf if run.steps is None else run.steps


class Hold(Schedule):
    """A schedule that prunes nothing, but keeps the weights that are zero at the start at zero.

    Use it to fine-tune a model that was pruned by `kerasreg.prune`, another library or an earlier
    fit.

    Example:

    >>> kerasreg.schedules.Hold().final
    0.0
    """

    prunes = False

    def __init__(self):
        super().__init__(0, 0, 1)

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        return 0.0


def standardize_schedule(schedule):
    """Returns the `Schedule` of an argument: a sparsity, a function or a schedule."""
    if isinstance(schedule, Schedule):
        return schedule
    if validation.is_number(schedule):
        return Polynomial(schedule)
    if callable(schedule) and not isinstance(schedule, type):
        return Function(schedule)
    expected = (
        "a sparsity from 0.0 to 1.0, a schedule of `kerasreg.schedules`, or a function from the "
        "step to a sparsity"
    )
    raise validation.invalid("schedule", schedule, expected)
