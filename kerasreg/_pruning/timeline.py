"""What a schedule is, and its steps in one run: plain numbers, without a model."""

import math
from dataclasses import dataclass
from typing import Any

from kerasreg._common import validation

_UNITS = ("steps", "epochs", "fraction")

#: About as often does a schedule without a `frequency` prune, and where the end is unknown, after
#: so many steps each.
_PRUNINGS, _FREQUENCY = 40, 100


@dataclass(frozen=True)
class Run:
    """How long a training is. None is unknown.

    Attributes:
        steps: of the optimizer, in the whole run.
        steps_per_epoch: of the optimizer; not whole where gradients are accumulated.
        remedy: what to do where a length is needed and unknown; `{name}` is that length.
    """

    steps: int | None = None
    steps_per_epoch: float | None = None
    remedy: str = "Pass `{name}`"

    def __post_init__(self):
        unknown = "an unknown length"
        validation.integer(self.steps, "steps", at_least=0, none=unknown)
        validation.number(self.steps_per_epoch, "steps_per_epoch", at_least=0, none=unknown)


@dataclass(frozen=True)
class Timeline:
    """A schedule in the steps of one run: it prunes in `begin`, `begin + frequency`, ..., `end`.

    A frequency that is not whole, which epochs in an accumulation of gradients have, is rounded in
    each of these steps, so that nothing adds up.
    """

    schedule: "Schedule"
    begin: int
    end: int | float
    frequency: int | float

    def sparsity(self, step):
        """The sparsity that a model has after `step` steps, from 0.0 to 1.0."""
        if step < self.begin:
            return 0.0
        value = self.schedule.sparsity(min(step, self.end), self.begin, self.end)
        return validate_sparsity(value, f"the schedule in step {step}")

    def last_due(self, step):
        """The last step up to this one in which weights are pruned, or None."""
        if step < self.begin:
            return None
        if step >= self.end:
            return self.end
        return self._due(self._count(step))

    def next_due(self, step):
        """The first step behind this one in which weights are pruned, or None."""
        if step < self.begin:
            return self.begin
        if step >= self.end:
            return None
        return min(self._due(self._count(step) + 1), self.end)

    def due(self, steps):
        """The steps in which weights are pruned, in a run of this length.

        The first alone, where neither the run nor the schedule has an end.
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
        """The last `count` that is due up to this step."""
        count = int((step - self.begin + 1) // self.frequency) + 1
        while self._due(count) > step:
            count -= 1
        return count


class Schedule:
    """When weights are pruned, and how many: the base class of all schedules.

    Args:
        begin_step: the first pruning, after this many steps of the optimizer.
        end_step: the last one, which is always made, whatever `frequency` is. None: at three
            quarters of the run, so that the model can recover in the rest.
        frequency: steps of the optimizer between two prunings, or `"epoch"`. None: about 20 to 40
            prunings from `begin_step` to `end_step` (every 100 steps where the end is unknown).
        unit: what `begin_step` and `end_step` count: `"steps"` of the optimizer (an accumulation
            of gradients is one step), `"epochs"`, or the `"fraction"` of the run, from 0.0 to 1.0.

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

    #: Whether the sparsity rises step by step, so that more prunings are gentler.
    is_ramp = False
    #: Whether it prunes anything, and does not only keep the zeros that are there.
    prunes = True

    def sparsity(self, step: float, begin: int, end: int | float) -> float:
        """The sparsity after `step` steps, of `begin` to `end`: a float from 0.0 to 1.0."""
        raise NotImplementedError

    @property
    def final(self) -> float | None:
        """The sparsity at the end, or None where only the run tells."""
        return self.sparsity(1, 0, 1)

    def timeline(self, run: Run) -> Timeline:
        """This schedule in the steps of a run.

        Raises:
            ValueError: where the length of the run is needed and unknown.
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
    """The number that was given as a float, or a `ValueError`."""
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
            f"{what} needs to know how long this run is, and `{name}` is unknown. "
            f"{run.remedy.format(name=name)}, or give the times of the schedule in steps "
            "(`end_step=1000`)."
        )
    return length
