"""What is decided before training: which weights are pruned, and when."""

import math

from kerasreg._common import validation
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._pruning.patterns.coupled import Coupled, sizes_of_units
from kerasreg._pruning.plan import Plan, planned
from kerasreg._pruning.regrow import Regrow
from kerasreg._pruning.schedules import standardize_schedule
from kerasreg._pruning.selection import Selection
from kerasreg._pruning.units import variables_of

#: A ramp has too few prunings if they are fewer than `_FEW` in `_RAMP` or more steps.
_FEW, _RAMP = 5, 20


class Strategy:
    """The validated arguments of a pruning: which weights are pruned, and when.

    Args:
        final: the final sparsity, if not the schedule but its caller decides when to prune.

    The other arguments are those of `kerasreg.callbacks.Pruning`.
    """

    def __init__(
        self,
        schedule,
        pattern,
        score,
        scope,
        include,
        exclude,
        hold=True,
        regrow=None,
        regrow_fraction=0.3,
        min_units=1,
        final=None,
    ):
        self.selection = Selection(pattern, score, scope, include, exclude, min_units)
        if schedule is None and self.selection.pattern.final is not None:
            schedule = self.selection.pattern.final
        self.schedule = standardize_schedule(schedule)
        self.final = self.schedule.final if final is None else final
        self.hold = validation.flag(hold, "hold")
        self.regrow = None
        regrow_fraction = validation.number(
            *(regrow_fraction, "regrow_fraction"), above=0, below=1, meaning="such as 0.3"
        )
        if regrow is not None:
            self.regrow = Regrow(regrow, regrow_fraction, self.selection.pattern, self.hold)
        if self.only_holds:
            if not self.hold:
                raise ValueError(
                    "The schedule `Hold()` with `hold=False` does nothing. Remove `hold=False`, or "
                    "pass another schedule."
                )
        else:
            self.selection.check_sparsity(self.schedule.final)

    @property
    def only_holds(self):
        """Whether existing zeros are kept and nothing is pruned."""
        return not self.schedule.prunes

    def begin_shrinking(self, model, caller):
        """Stores the sizes of the units of `model`, which then also apply to smaller models.

        Raises:
            ValueError: if the pruning does not keep whole units at zero.
        """
        pattern = self.selection.pattern
        if not isinstance(pattern, Coupled) or not self.hold:
            raise ValueError(
                "`kerasreg.fit_and_shrink` needs a Pruning that keeps whole units at zero: pass "
                f'`pattern="coupled"` and `hold=True`. Received: pattern={pattern!r}, '
                f"hold={self.hold}"
            )
        pattern.sizes = sizes_of_units(model, caller)

    def end_shrinking(self):
        """Removes the sizes that `begin_shrinking` stored."""
        self.selection.pattern.sizes = {}

    def plan(self, model, run, caller):
        """Returns the `Plan` of a run.

        Raises:
            ValueError: if nothing would ever be pruned, or if the sparsity decreases.
        """
        targets, skipped = self.selection.find(model, caller)
        if self.only_holds:
            alive = {id(v): host_view(v) != 0 for v in variables_of(targets)}
            rows = planned(targets, [None] * len(targets), alive)
            return Plan(model.name, rows, skipped, [], [], 0.0, self.selection.note(model))
        timeline = self.schedule.timeline(run)
        steps = timeline.due(math.inf if run.steps is None else run.steps)
        self._require_steps(steps, timeline, run, caller)
        sparsities = [timeline.sparsity(step) for step in steps]
        self._require_rise(steps, sparsities)
        counts, bound = [None] * len(targets), {}
        if self.selection.scope.name != "global":
            counts = self.selection.counts(targets, None, sparsities[-1], self.schedule.final)
            bound = self.selection.bound
        rows = planned(targets, counts, bound=bound)
        final, note = sparsities[-1], self.selection.note(model)
        return Plan(model.name, rows, skipped, steps, sparsities, final, note)

    def _require_steps(self, steps, timeline, run, caller):
        if not steps or max(map(timeline.sparsity, steps)) == 0:
            raise ValueError(
                f"`{caller}` would never prune anything: the schedule prunes {_times(timeline)}, "
                f"but the run has {run.steps} optimizer steps. Lower `begin_step`, `end_step` or "
                "`frequency`, or train longer."
            )
        final = self.schedule.final
        if final is not None and timeline.sparsity(steps[-1]) < final - 1e-9:
            warn(
                f"`{caller}` will not reach {final:.1%} zeros: the schedule reaches them after "
                f"{timeline.end} steps, but the run has {run.steps}, which is enough for "
                f"{timeline.sparsity(steps[-1]):.1%}. Lower `end_step`, or train longer."
            )
        self._advise_frequency(steps, timeline, caller)

    def _advise_frequency(self, steps, timeline, caller):
        """Warns if a ramp prunes so rarely that it rises in large steps."""
        rising = [step for step in steps if timeline.sparsity(step) > 0]
        length = steps[-1] - steps[0]
        is_long = length >= _RAMP or len(rising) == 1
        if self.schedule.is_ramp and is_long and 0 < len(rising) < min(_FEW, length):
            warn(
                f"`{caller}` prunes only {len(rising)} times to reach "
                f"{timeline.sparsity(steps[-1]):.1%} zeros in {length:,} optimizer steps, and the "
                f"first pruning alone reaches {timeline.sparsity(rising[0]):.1%}. The model has "
                "little time to recover in between. Lower or remove "
                f"`frequency={self.schedule.frequency!r}`."
            )

    def _require_rise(self, steps, sparsities):
        for step, before, after in zip(steps[1:], sparsities, sparsities[1:], strict=False):
            if after < before - 1e-9 and self.hold:
                raise ValueError(
                    f"The sparsity must not decrease with `hold=True`, because pruned weights stay "
                    f"zero. Received: a schedule that falls from {before} to {after} in step "
                    f"{step}. Pass a rising schedule, or `hold=False`."
                )


def _times(timeline):
    if timeline.begin == timeline.end:
        return f"once, after {timeline.begin} steps"
    return f"from step {timeline.begin} to {timeline.end}, every {timeline.frequency} steps"
