"""The base class of schedules, and the optimizer steps of a schedule in one run."""

import math
from dataclasses import dataclass
from typing import Any

from kerasreg._common import validation

_UNITS = ("steps", "epochs", "fraction")

#: A schedule without a `frequency` prunes at most about `_PRUNINGS` times, or, if its end is
#: unknown, every `_FREQUENCY` steps.
_PRUNINGS, _FREQUENCY = 40, 100


_OF_UNKNOWN_LENGTH = (
    "For data of a finite, known length, call `dataset.apply("
    "tf.data.experimental.assert_cardinality(batches))`. For infinite data, pass "
    "`steps_per_epoch` to `fit`; finite data then need `dataset.repeat()`, or they run out in a "
    "later epoch"
)


@dataclass(frozen=True)
class Run:
    """The length of a training. None means unknown.

    Attributes:
        steps: the number of optimizer steps in the whole run.
        steps_per_epoch: the number of optimizer steps per epoch; it may be fractional with gradient
            accumulation.
        remedy: the advice if a length is needed but unknown; `{name}` is replaced by its name.
    """

    steps: int | None = None
    steps_per_epoch: float | None = None
    remedy: str = "Pass `{name}`"

    def __post_init__(self):
        unknown = "an unknown length"
        validation.integer(self.steps, "steps", at_least=0, none=unknown)
        validation.number(self.steps_per_epoch, "steps_per_epoch", at_least=0, none=unknown)

    @classmethod
    def of_fit(cls, params, optimizer):
        """Returns the length of a fit from the `params` of its callbacks."""
        epochs, steps = params.get("epochs"), params.get("steps")
        if epochs is None or steps is None:
            return cls(remedy=_OF_UNKNOWN_LENGTH)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        accumulation = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        return cls(epochs * steps // accumulation, steps / accumulation)


@dataclass(frozen=True)
class Timeline:
    """A schedule in the steps of one run: it prunes in `begin`, `begin + frequency`, ..., `end`.

    The frequency may be fractional, for example with epochs and gradient accumulation. Each step is
    then rounded separately, so that rounding errors do not add up.
    """

    schedule: "Schedule"
    begin: int
    end: int | float
    frequency: int | float

    def sparsity(self, step):
        """Returns the sparsity after `step` steps, from 0.0 to 1.0."""
        if step < self.begin:
            return 0.0
        value = self.schedule.sparsity(min(step, self.end), self.begin, self.end)
        return validate_sparsity(value, f"the schedule in step {step}")

    def last_due(self, step):
        """Returns the last step up to this one in which weights are pruned, or None."""
        if step < self.begin:
            return None
        if step >= self.end:
            return self.end
        return self._due(self._count(step))

    def next_due(self, step):
        """Returns the first step after this one in which weights are pruned, or None."""
        if step < self.begin:
            return self.begin
        if step >= self.end:
            return None
        return min(self._due(self._count(step) + 1), self.end)

    def due(self, steps):
        """Returns the steps in which weights are pruned, in a run of this length.

        If neither the run nor the schedule has an end, only the first step is returned.
        """
        if math.isinf(min(steps, self.end)):
            return [self.begin]
        found, step = [], self.next_due(-1)
        while step is not None and step <= steps:
            found.append(step)
            step = self.next_due(step)
        return found

    def _due(self, count):
        return self.begin + round(count * self.frequency)

    def _count(self, step):
        """Returns the number of the last pruning that is due up to this step, counted from 0."""
        count = int((step - self.begin + 1) // self.frequency) + 1
        while self._due(count) > step:
            count -= 1
        return count


class Schedule:
    """The base class of all schedules: the sparsity over time.

    Subclasses define `sparsity(step, begin, end)`.

    Args:
        begin_step: the time of the first pruning, in `unit`.
        end_step: the time of the last pruning, in `unit`. It is always done, whatever `frequency`
            is. Default: three quarters of the run, so that the model can recover in the rest.
        frequency: the number of optimizer steps between two prunings, or `"epoch"`. Default: such
            that there are about 20 to 40 prunings from `begin_step` to `end_step`, or every 100
            steps if the end is unknown.
        unit: the unit of `begin_step` and `end_step`: `"steps"` of the optimizer (with gradient
            accumulation, one update is one step), `"epochs"`, or `"fraction"` of the run, from 0.0
            to 1.0.

    Raises:
        ValueError: for invalid arguments.

    Example:

    >>> class Halfway(kerasreg.schedules.Schedule):
    ...     def sparsity(self, step, begin, end):
    ...         return 0.5 if step < end else 0.9
    >>> Halfway(end_step=100).final
    0.9
    """

    def __init__(
        self,
        begin_step: int | float = 0,
        end_step: int | float | None = None,
        frequency: Any = None,
        unit: str = "steps",
    ):
        self.unit = validation.choice(unit, "unit", _UNITS)
        self.begin_step = _validate_time(begin_step, "begin_step", unit)
        self.end_step = None if end_step is None else _validate_time(end_step, "end_step", unit)
        if self.end_step is not None and self.end_step < self.begin_step:
            raise ValueError(
                "`end_step` must not be before `begin_step`. Received: "
                f"begin_step={begin_step!r}, end_step={end_step!r}"
            )
        is_int = validation.is_integer(frequency)
        is_known = frequency is None or (isinstance(frequency, str) and frequency == "epoch")
        if not is_known and not (is_int and int(frequency) > 0):
            expected = 'None, a number of steps of at least 1, or "epoch"'
            raise validation.invalid("frequency", frequency, expected)
        self.frequency = int(frequency) if is_int else frequency

    #: Whether the sparsity rises gradually, so that it needs several prunings.
    is_ramp = False
    #: Whether it prunes; otherwise existing zeros are kept.
    prunes = True

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        """Returns the sparsity after `step` optimizer steps, a float from 0.0 to 1.0.

        Args:
            step: the number of finished optimizer steps, from `begin` to `end`.
            begin: the step of the first pruning.
            end: the step of the last pruning; infinity if it is unknown.
        """
        raise NotImplementedError

    @property
    def final(self) -> float | None:
        """The final sparsity, or None if it depends on the run."""
        return self.sparsity(1, 0, 1)

    def timeline(self, run: Run) -> Timeline:
        """Returns the `Timeline` of this schedule in a run.

        Raises:
            ValueError: if the length of the run is needed but unknown.
        """
        begin = self._to_steps(self.begin_step, run, "begin_step")
        if self.end_step is None:
            end = max(begin, self._default_end(run))
        else:
            end = self._to_steps(self.end_step, run, "end_step")
        frequency: Any = self.frequency
        if frequency == "epoch":
            frequency = _known(run, "frequency='epoch'", "steps_per_epoch")
        elif frequency is None:
            ramp = end - begin
            frequency = _FREQUENCY if math.isinf(ramp) else max(1, math.ceil(ramp / _PRUNINGS))
        return Timeline(self, begin, end, frequency)

    def _default_end(self, run):
        return 3 * _known(run, "end_step=None", "steps") // 4

    def _to_steps(self, time, run, name):
        if self.unit == "epochs":
            return round(time * _known(run, f"{name} in epochs", "steps_per_epoch"))
        if self.unit == "fraction":
            return round(time * _known(run, f"{name} as a fraction of the run", "steps"))
        return time


def validate_sparsity(value, name):
    """Returns a sparsity as a float, or raises a `ValueError`."""
    meaning = "the fraction that is zero (0.9 is 90 % zeros)"
    return validation.number(value, name, at_least=0, at_most=1, meaning=meaning)


def _validate_time(value, name, unit):
    expected = {
        "steps": "a whole number, such as 1000",
        "epochs": "a number of epochs, such as 2 or 2.5",
        "fraction": "a fraction of the run",
    }
    meaning = f"with unit={unit!r} {expected[unit]}"
    most = 1 if unit == "fraction" else None
    found = validation.number(value, name, at_least=0, at_most=most, meaning=meaning)
    if unit != "steps":
        return found
    if not found.is_integer():
        raise validation.invalid(name, value, meaning)
    return int(found)


def _known(run, what, name):
    length = getattr(run, name)
    if length is None:
        raise ValueError(
            f"{what} requires the length of this run, but `{name}` is unknown. "
            f"{run.remedy.format(name=name)}, or specify the times of the schedule in steps "
            "(`end_step=1000`)."
        )
    return length
