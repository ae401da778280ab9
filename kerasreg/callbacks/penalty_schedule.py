"""Schedules for the strength of penalties."""

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
    """Multiplies the penalties by a scale that depends on the optimizer step.

    In optimizer step `k`, counted from 0, the loss contains `scale(k) * penalty` for every weight
    with a regularizer (of kerasreg, of Keras or any other), with or without `ProximalGradient`, and
    for every group of a `CoupledGroupLasso`. With `s = k - warmup_steps`, the scale is 0 while
    `s < 0`, then `schedule(s) * min(1, s / ramp_steps)`, or `schedule(s)` without a ramp.

    The scale is computed inside the compiled train step: the step is not traced again, and a `fit`
    that resumes from a checkpoint continues the schedule. At the end of every epoch, the scale is
    written to `logs` as `penalty_scale`. `evaluate` uses the unscaled penalties.

    Scaling a penalty is the same as scaling its factor, such as `l1` in `L1(l1)`. Penalties that
    are not proportional to their factor (MCP, SCAD) are scaled as a whole.

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`, or a function of `keras.ops`
            that maps the step (a tensor) to a scale >= 0. Default: 1.0.
        warmup_steps: the penalties are off during this many optimizer steps; `schedule` starts
            after them.
        ramp_steps: after the warm-up, the scale is also multiplied by a number that grows
            linearly from 0 to 1 during this many optimizer steps.
        include: regular expression, searched in the paths of the variables and in the names of
            coupled groups; only those that match are scaled. Default: all.

    Raises:
        ValueError: for invalid arguments; at the start of `fit`, if no variable with a regularizer
            and no coupled group matches, if two schedules scale the same one, or for a model
            without an optimizer.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with an optimizer other than that of `compile`, whose steps are counted.

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
        """Returns the scale of the penalties in an optimizer step, counted from 0, as a tensor."""
        return self._scale(step)

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: reads_logs(each, (_NAME,)))
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        # In `on_train_begin`, a CoupledGroupLasso later in the list has no groups yet.
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
