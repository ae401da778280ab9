"""Penalties that grow or fade while a model trains."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import nearest
from kerasreg._common.types import Logs, Tensor
from kerasreg._common.warn import noted, warn
from kerasreg._graph.variables import require_built
from kerasreg._train_step import (
    Coverage,
    FitScope,
    TrainedPenalty,
    finished_updates,
    other_optimizers,
)
from kerasreg.callbacks.coupled_group_lasso import CoupledGroupLasso
from kerasreg.callbacks.siblings import reads_logs, run_after
from kerasreg.callbacks.train_step_callback import TrainStepCallback

_NAME = "penalty_scale"


class PenaltySchedule(TrainStepCallback):
    """Multiply the penalties by a number that depends on the step: warm-up, ramp, any schedule.

    In step `k` of the optimizer, the loss contains `schedule(k) * penalty` for every weight with a
    regularizer (ours, Keras' or any other), with or without `ProximalGradient`, and for every group
    of a `CoupledGroupLasso`, in any order.
    The number is computed in the compiled step: nothing is traced again, and a `fit` that resumes
    from a checkpoint goes on where it was. `logs` gets it at the end of every epoch as
    `penalty_scale`. In `evaluate`, the penalties count as they were written.

    A schedule of `scale * penalty` is one of its factor: of `l1` in `L1(l1)`. For a penalty that
    is not proportional to its factor (MCP, SCAD), it is the scale of the whole.

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`, or any function from the
            step (a tensor) to a scale >= 0 in `keras.ops`. Default: 1.0.
        warmup_steps: the penalties are off during this many steps of the optimizer; `schedule`
            starts after them.
        ramp_steps: after the warm-up, the scale is also multiplied by a number that grows
            linearly from 0 to 1 during this many steps.
        include: regular expression of the paths of the variables, and of names of coupled groups;
            default all.

    Raises:
        ValueError: for arguments that are none of this; at the start of `fit`, if no variable with
            a regularizer and no coupled group matches, if two schedules scale the same one, or for
            a model without an optimizer.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with another optimizer than that of `compile`, whose steps are counted.

    Example:

    >>> layer = keras.layers.Dense(1, kernel_regularizer=kerasreg.regularizers.L1(0.1))
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile("sgd", "mse")
    >>> schedule = kerasreg.callbacks.PenaltySchedule(warmup_steps=2, ramp_steps=4)
    >>> x, y = np.ones((4, 2)), np.ones((4, 1))
    >>> history = model.fit(x, y, batch_size=2, epochs=4, verbose=0, callbacks=[schedule])
    >>> history.history["penalty_scale"]
    [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(
        self,
        schedule: Callable | None = None,
        warmup_steps: int = 0,
        ramp_steps: int = 0,
        include: str | None = None,
    ):
        super().__init__()
        if schedule is not None and not callable(schedule):
            expected = (
                "a `keras.optimizers.schedules.LearningRateSchedule` or a function of the step"
            )
            raise validation.invalid("schedule", schedule, expected)
        self._schedule = schedule
        self._warmup_steps = validation.integer(warmup_steps, "warmup_steps", at_least=0)
        self._ramp_steps = validation.integer(ramp_steps, "ramp_steps", at_least=0)
        self._include = validation.expression(include, "include")

    @property
    def needs_hook(self) -> bool:
        return False

    def scale(self, step: Tensor) -> Tensor:
        """The scale of the penalties in a step of the optimizer, counted from 0: a tensor."""
        step = ops.convert_to_tensor(step)
        past = ops.maximum(step - self._warmup_steps, 0)
        scale = 1.0 if self._schedule is None else self._schedule(past)
        scale = ops.cast(scale, "float32") * ops.cast(step >= self._warmup_steps, "float32")
        if self._ramp_steps:
            scale = scale * ops.clip(ops.cast(past, "float32") / self._ramp_steps, 0.0, 1.0)
        return scale

    def scales(self, coupled: Iterable[Any] = ()) -> tuple[dict[int, float], dict[str, float]]:
        """What the penalties of the present fit are multiplied by, in its last step.

        Args:
            coupled: the coupled groups of the fit.

        Returns:
            `{id(variable): scale}` and `{name of a coupled group: scale}`.
        """
        _, scale = self._last_scale()
        groups = [group.name for group in coupled if group.matches(self._include or "")]
        return {id(v): scale for v in self._variables}, dict.fromkeys(groups, scale)

    def on_train_begin(self, logs: Logs = None) -> None:
        siblings = run_after(self, lambda each: reads_logs(each, (_NAME,)))
        require_built(self.model, "PenaltySchedule")
        self._coupled = [each for each in siblings if isinstance(each, CoupledGroupLasso)]
        with self.undone_by_errors():
            self._variables = self._find_variables()
        _require_scale(*self._last_scale())
        scope = FitScope.of(self.model)
        # Not `self.model` in the step: on JAX, asking for it sets its variables.
        optimizer = self.model.optimizer

        def scale():
            return self.scale(finished_updates(optimizer, scope.value))

        for variable in self._variables:
            TrainedPenalty.of(variable, scope.inside).scale = scale
        self._of_groups = (self._include or "", scale)
        scope.schedules.append(self._of_groups)
        scope.enter(self._off)
        self._started = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        # Not in `on_train_begin`, where the groups may still come.
        if not self._started:
            with self.undone_by_errors():
                self._require_groups()
            self._started = True
            self.begin_looking(self._make_coverage())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.require_coverage()
        last = None
        with noted("Logging `penalty_scale`"):
            last = self._last_scale()
        if last is not None:
            _require_scale(*last)
            if logs is not None:
                logs[_NAME] = last[1]

    def on_train_end(self, logs: Logs = None) -> None:
        with noted("Comparing the ramp with the fit"):
            self._warn_of_ramp()
        FitScope.of(self.model).leave(self._off)

    def _warn_of_ramp(self):
        whole = self._warmup_steps + self._ramp_steps
        step, scale = self._last_scale()
        if step + 1 < whole:
            warn(
                f"PenaltySchedule ended at a scale of {scale:.4g}: warm-up and ramp take {whole:,} "
                f"steps of the optimizer, and it made {step + 1:,}. Train longer (data need enough "
                "batches, see `.repeat()`), or lower `warmup_steps` and `ramp_steps`."
            )

    def _make_coverage(self):
        groups = {id(v): v for callback in self._coupled for v in callback.variables}
        coverage = Coverage(
            *(self.model.optimizer, self._variables or groups.values(), None, "PenaltySchedule"),
            "the count of steps",
            "the schedule stays at its first step",
            f"{other_optimizers(self.model)}Compile the model with the optimizer that its "
            "`train_step` applies (`self.optimizer`).",
        )
        coverage.start()
        return coverage

    def _last_scale(self):
        """`(step, scale)` of the last step."""
        done = int(ops.convert_to_numpy(finished_updates(self.model.optimizer)))
        step = max(done - 1, 0)
        return step, float(ops.convert_to_numpy(self.scale(step)))

    def _off(self):
        schedules = FitScope.of(self.model).schedules
        if self._of_groups in schedules:
            schedules.remove(self._of_groups)
        for variable in self._variables:
            if isinstance(variable.regularizer, TrainedPenalty):
                variable.regularizer.scale = None
                TrainedPenalty.release(variable)

    def _find_variables(self):
        penalised = [v for v in self.model.trainable_variables if v.regularizer is not None]
        found = [v for v in penalised if re.search(self._include or "", v.path)]
        if not (found or self._coupled) or self.model.optimizer is None:
            raise self._nothing_found()
        taken = [v.path for v in found if getattr(v.regularizer, "scale", None) is not None]
        if taken:
            raise ValueError(
                "Two PenaltySchedules of one fit need variables of their own: use `include`. "
                f"Received two for {taken}"
            )
        return found

    def _nothing_found(self):
        penalised = [v.path for v in self.model.trainable_variables if v.regularizer is not None]
        groups = [group.name for callback in self._coupled for group in callback.groups]
        wanted = self._include or ""
        return ValueError(
            "PenaltySchedule needs a model that was compiled with an optimizer and has "
            "regularizers on trainable variables, or a CoupledGroupLasso in the same fit. "
            f"Received: '{self.model.name}' and include={self._include!r}; "
            f"{nearest(wanted, penalised, 'variables with a regularizer')}; "
            f"{nearest(wanted, groups, 'coupled groups')}"
        )

    def _require_groups(self):
        schedules = FitScope.of(self.model).schedules
        groups = [group for callback in self._coupled for group in callback.groups]
        matches = {
            group.name: [each for each in schedules if group.matches(each[0])] for group in groups
        }
        if not self._variables and not any(self._of_groups in each for each in matches.values()):
            raise self._nothing_found()
        taken = [name for name, found in matches.items() if len(found) > 1]
        if taken:
            raise ValueError(
                "Two PenaltySchedules of one fit need coupled groups of their own: use `include`. "
                f"Received two for {taken}"
            )


def _require_scale(step, value):
    if not 0 <= value < float("inf"):
        raise ValueError(
            "The `schedule` of PenaltySchedule must give finite numbers >= 0. Received: "
            f"{value} in step {step}"
        )
