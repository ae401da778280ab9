"""Penalties that grow or fade while a model trains."""

from collections.abc import Callable

from kerasreg._callbacks.behaviour import reads_logs
from kerasreg._callbacks.session_callback import SessionCallback
from kerasreg._callbacks.siblings import run_after
from kerasreg._common import validation
from kerasreg._common.types import Logs, Tensor
from kerasreg._common.warn import noted
from kerasreg._proximal.scale import Scale, ScaleSession

_NAME = "penalty_scale"


class PenaltySchedule(SessionCallback):
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
        ValueError: for invalid arguments; at the start of `fit`, if no variable with
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

    has_updates = False

    def __init__(
        self,
        schedule: Callable | None = None,
        warmup_steps: int = 0,
        ramp_steps: int = 0,
        include: str | None = None,
    ):
        super().__init__()
        self._scale = Scale(schedule, warmup_steps, ramp_steps)
        self._include = validation.expression(include, "include")

    def scale(self, step: Tensor) -> Tensor:
        """The scale of the penalties in a step of the optimizer, counted from 0: a tensor."""
        return self._scale(step)

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: reads_logs(each, (_NAME,)))
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        # Not in `on_train_begin`, where a CoupledGroupLasso may still come.
        self.start_once()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.check()
        last = None
        with noted("Logging `penalty_scale`"):
            last = self._session.last()
        if last is not None:
            self._session.require_valid(*last)
            if logs is not None:
                logs[_NAME] = last[1]

    def on_train_end(self, logs: Logs = None) -> None:
        with noted("Comparing the ramp with the fit"):
            self._session.warn_of_ramp()
        self.leave()

    def _make_session(self, scope):
        return ScaleSession(
            *(self.model, self.model.optimizer, self._scale, self._include),
            caller="PenaltySchedule",
            scope=scope,
        )
