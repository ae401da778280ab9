"""Penalties that are multiplied by a scale, which depends on the training step."""

import re

from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import nearest
from kerasreg._common.warn import warn
from kerasreg._proximal.coupled_session import CoupledSession
from kerasreg._train_step import (
    Coverage,
    Session,
    TrainedPenalty,
    finished_updates,
    other_optimizers,
)


class Scale:
    """The scale of penalties as a function of the training step.

    It is 0 during the warm-up, and then `schedule(step - warmup_steps)` times a ramp from 0 to 1.

    Args: see `kerasreg.callbacks.PenaltySchedule`.
    """

    def __init__(self, schedule, warmup_steps, ramp_steps):
        if schedule is not None and not callable(schedule):
            expected = (
                "a `keras.optimizers.schedules.LearningRateSchedule` or a function of the step"
            )
            raise validation.invalid("schedule", schedule, expected)
        self._schedule = schedule
        self._warmup_steps = validation.integer(warmup_steps, "warmup_steps", at_least=0)
        self._ramp_steps = validation.integer(ramp_steps, "ramp_steps", at_least=0)

    @property
    def steps(self):
        """Number of steps of warm-up and ramp."""
        return self._warmup_steps + self._ramp_steps

    def __call__(self, step):
        """Returns the scale in a step as a float32 scalar tensor. Steps are counted from 0."""
        step = ops.convert_to_tensor(step)
        past = ops.maximum(step - self._warmup_steps, 0)
        scale = 1.0 if self._schedule is None else self._schedule(past)
        scale = ops.cast(scale, "float32") * ops.cast(step >= self._warmup_steps, "float32")
        if self._ramp_steps:
            scale = scale * ops.clip(ops.cast(past, "float32") / self._ramp_steps, 0.0, 1.0)
        return scale


class ScaleSession(Session):
    """Scales the penalties of one model in its train step.

    Args:
        scale: a `Scale`.
        include: regular expression that selects paths of variables and coupled groups, or None.

    The other arguments are those of `Session`. The scope is required.
    """

    def __init__(self, model, optimizer, scale, include, caller, scope):
        super().__init__(model, optimizer, caller, scope)
        self._scale, self._include = scale, include or ""
        penalised = [v for v in model.trainable_variables if v.regularizer is not None]
        self.variables = [v for v in penalised if re.search(self._include, v.path)]
        taken = [v.path for v in self.variables if _is_scaled(v)]
        if taken:
            raise ValueError(
                f"Expected at most one {caller} in a fit for each variable. Received: several for "
                f"{taken}. Select different variables with `include`."
            )
        self.require_valid(*self.last())

    def start(self):
        """Starts the session. All coupled groups of the fit must be known by then."""
        groups = [group for each in self._coupled() for group in each.coupled_groups]
        self._require_own(groups)
        coupled = {id(v): v for each in self._coupled() for v in each.variables}
        self.coverage = Coverage(
            *(self._optimizer, self.variables or coupled.values(), None, self._caller),
            "the count of steps",
            "the schedule stays at its first step",
            f"{other_optimizers(self._model)}Compile the model with the optimizer that its "
            "`train_step` applies (`self.optimizer`).",
        )
        super().start()

    def last(self):
        """Returns `(step, scale)` of the last step."""
        done = int(ops.convert_to_numpy(finished_updates(self._optimizer)))
        step = max(done - 1, 0)
        return step, float(ops.convert_to_numpy(self._scale(step)))

    def require_valid(self, step, value):
        """Raises a `ValueError` if a scale is negative or not finite."""
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"The `schedule` of {self._caller} must return finite numbers >= 0. Received: "
                f"{value} in step {step}"
            )

    def scales(self, groups):
        """Returns the numbers by which penalties are multiplied in the last step.

        Args:
            groups: `CoupledGroup`s.

        Returns:
            `{id(variable): scale}` and `{name of a coupled group: scale}`.
        """
        _, scale = self.last()
        names = [group.name for group in groups if group.matches(self._include)]
        return {id(v): scale for v in self.variables}, dict.fromkeys(names, scale)

    def warn_of_ramp(self):
        """Warns at the end of a fit that was shorter than warm-up and ramp."""
        step, scale = self.last()
        if step + 1 < self._scale.steps:
            warn(
                f"{self._caller} ended at a scale of {scale:.4g}: warm-up and ramp take "
                f"{self._scale.steps:,} steps of the optimizer, but it made {step + 1:,}. Train "
                "longer (a dataset needs enough batches, see `.repeat()`), or lower `warmup_steps` "
                "and `ramp_steps`."
            )

    def _switch_on(self):
        for variable in self.variables:
            TrainedPenalty.of(variable, self._active).scale = self._scale_now
        self._of_groups = (self._include, self._scale_now)
        self._scope.schedules.append(self._of_groups)

    def _switch_off(self):
        if self._of_groups in self._scope.schedules:
            self._scope.schedules.remove(self._of_groups)
        for variable in self.variables:
            if isinstance(variable.regularizer, TrainedPenalty):
                variable.regularizer.scale = None
                TrainedPenalty.release(variable)

    def _scale_now(self):
        return self._scale(finished_updates(self._optimizer, self._scope.value))

    def _coupled(self):
        return [each for each in self._scope.sessions if isinstance(each, CoupledSession)]

    def _require_own(self, groups):
        schedules = self._scope.schedules
        matches = {g.name: [each for each in schedules if g.matches(each[0])] for g in groups}
        if not self.variables and not any(self._of_groups in each for each in matches.values()):
            raise self._nothing_found(groups)
        taken = [name for name, found in matches.items() if len(found) > 1]
        if taken:
            raise ValueError(
                f"Expected at most one {self._caller} in a fit for each coupled group. Received: "
                f"several for {taken}. Select different groups with `include`."
            )

    def _nothing_found(self, groups):
        variables = self._model.trainable_variables
        penalised = [each.path for each in variables if each.regularizer is not None]
        names = [group.name for group in groups]
        return ValueError(
            f"{self._caller} expects regularizers on trainable variables of the model, or a "
            f"CoupledGroupLasso in the same fit. Received: '{self._model.name}' and "
            f"include={self._include or None!r}; "
            f"{nearest(self._include, penalised, 'variables with a regularizer')}; "
            f"{nearest(self._include, names, 'coupled groups')}"
        )


def _is_scaled(variable):
    return getattr(variable.regularizer, "scale", None) is not None
