"""What is decided before training: which weights go, and when."""

import math

from kerasreg.pruning.plan import Plan, planned
from kerasreg.pruning.regrow import Regrow
from kerasreg.pruning.rule import Rule
from kerasreg.pruning.schedules import Hold, standardize_schedule
from kerasreg.pruning.units import variables_of
from kerasreg.variables import host_view
from kerasreg.warn import warn


class Strategy:
    """Everything that is decided before there is a model: which weights go, and when."""

    def __init__(
        self, schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_share
    ):
        self.rule = Rule(pattern, score, scope, include, exclude)
        if schedule is None and self.rule.pattern.final is not None:
            schedule = self.rule.pattern.final
        self.schedule = standardize_schedule(schedule)
        self.hold = bool(hold)
        self.regrow = None
        if regrow is not None:
            self.regrow = Regrow(regrow, regrow_share, self.rule.pattern, self.hold)
        if self.only_holds:
            if not self.hold:
                raise ValueError("The schedule `Hold()` with `hold=False` does nothing.")
        else:
            self.rule.check_sparsity(self.schedule.final)

    @property
    def only_holds(self):
        """Whether nothing new is pruned."""
        return isinstance(self.schedule, Hold)

    def plan(self, model, run, caller):
        """The `Plan` of a run.

        Raises:
            ValueError: where nothing would ever be pruned, or sparsity falls.
        """
        targets, skipped = self.rule.find(model, caller)
        if self.only_holds:
            alive = {id(v): host_view(v) != 0 for v in variables_of(targets)}
            rows = planned(targets, [None] * len(targets), alive)
            return Plan(model.name, rows, skipped, [], [], 0.0, self.rule.pattern.note)
        timeline = self.schedule.timeline(run)
        steps = timeline.due(math.inf if run.steps is None else run.steps)
        self._require_steps(steps, timeline, run, caller)
        sparsities = [timeline.sparsity(step) for step in steps]
        self._require_rise(steps, sparsities)
        counts = [None] * len(targets)
        if self.rule.scope.name != "global":
            counts = self.rule.counts(targets, None, sparsities[-1], self.schedule.final)
        rows = planned(targets, counts)
        final, note = sparsities[-1], self.rule.pattern.note
        return Plan(model.name, rows, skipped, steps, sparsities, final, note)

    def _require_steps(self, steps, timeline, run, caller):
        if not steps or max(map(timeline.sparsity, steps)) == 0:
            raise ValueError(
                f"`{caller}` would never prune anything: the schedule does after {timeline.begin} "
                f"to {timeline.end} steps, every {timeline.frequency}, and the run has {run.steps} "
                "steps of the optimizer. Lower `begin_step`, `end_step` or `frequency`, or train "
                "longer."
            )
        final = self.schedule.final
        if final is not None and timeline.sparsity(steps[-1]) < final - 1e-9:
            warn(
                f"`{caller}` will not reach {final:.1%} zeros: the schedule ends after "
                f"{timeline.end} steps with that, and the run has {run.steps}, which is enough for "
                f"{timeline.sparsity(steps[-1]):.1%}. Lower `end_step`, or train longer."
            )

    def _require_rise(self, steps, sparsities):
        for step, before, after in zip(steps[1:], sparsities, sparsities[1:], strict=False):
            if after < before - 1e-9 and self.hold:
                raise ValueError(
                    f"The schedule falls from {before} to {after} in step {step}, and with "
                    "`hold=True` what is pruned stays zero. Pass a rising one, or `hold=False`."
                )
