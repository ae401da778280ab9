"""The sparsity of a model in TensorBoard and in the logs of `fit`."""

import os
from collections.abc import Sequence
from typing import Any

import keras

from kerasreg._attach.unused import on_unused_regularizers
from kerasreg._callbacks.behaviour import may_change_weights, only_reads
from kerasreg._callbacks.logged import numbers_of_fit
from kerasreg._callbacks.session_callback import ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._callbacks.step_counter import StepCounter
from kerasreg._common import validation
from kerasreg._common.texts import listed
from kerasreg._common.types import Logs
from kerasreg._common.warn import noted, warn
from kerasreg._graph.variables import require_built, require_matches
from kerasreg._report.events import ScalarWriter, shared_callback
from kerasreg._report.logged import DEFAULT_METRICS, METRICS, TOTALS
from kerasreg._train_step import FitScope


class SparsityLogger(keras.callbacks.Callback):
    """Logs the sparsity of a model to TensorBoard and to the logs of `fit`.

    These totals are added to `logs` at the end of every epoch, where History, CSVLogger,
    EarlyStopping and ModelCheckpoint can read them:

    - `sparsity`: the fraction of exact zeros in the measured variables. These are the variables
      that a `Pruning` or `PruneUntil` in the same fit prunes; without such a callback, the
      trainable kernels; with `include`, the variables that it matches;
    - `target_sparsity`: the sparsity that the pruning schedule has asked for so far;
    - `sparsity_of_all`: the fraction of exact zeros in all weights of the model, including biases
      and statistics of normalizations;
    - `penalty`: the penalty in the loss, including that of a `CoupledGroupLasso`, and as scaled by
      a `PenaltySchedule`;
    - `dead_units`: the number of units whose weights are all zero, if the model has layers with
      known units.

    TensorBoard gets these totals (such as `total/sparsity`) and one scalar per metric and measured
    variable (such as `sparsity/block1/conv/kernel`), before training, at the end of every epoch and
    at the end of training. NaN and infinite weights are counted in all variables
    (`nonfinite/...`), and a warning names them. The step is the number of optimizer iterations, or
    the number of batches if the optimizer of `compile` is not applied.

    Callbacks that read the totals (History, TensorBoard, CSVLogger, and those that monitor a total)
    run after this one, whatever the order of the list. Place your own callbacks that change weights
    before it. Errors in logging become a warning, once, and never stop the training.

    Args:
        log_dir: the folder for event files, which are written to its subfolder `train`. Default:
            the folder of the `keras.callbacks.TensorBoard` in the same fit, or `logs`. If False, no
            files are written, and only the logs of `fit` get the totals.
        update_freq: `"epoch"`, `"batch"`, or an int, the number of optimizer iterations between two
            writes to TensorBoard. It also writes at the end of every epoch.
        include: regular expression, searched in the paths of the variables to measure.
        metrics: the metrics of each variable that TensorBoard gets. Default: `"sparsity"`,
            `"penalty"` and `"dead_units"`; also available: `"zeros"`, `"l1"`, `"l2"`, `"max"`,
            `"dead_inputs"` and `"nonfinite"`, see `kerasreg.statistics`.

    Raises:
        ValueError: for an invalid `log_dir`, `update_freq` or `metrics`; at the start of `fit`, for
            a folder that cannot be written, a model that is not built, an `include` that matches
            nothing, or two loggers that write the same names; after the first batch, for a metric
            of the model with the name of a total.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> logger = kerasreg.callbacks.SparsityLogger(log_dir=False)
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[logger])
    >>> history.history["sparsity"], history.history["sparsity_of_all"]
    ([0.0], [0.0])
    """

    changes_weights = False

    def __init__(
        self,
        log_dir: str | os.PathLike | bool | None = None,
        update_freq: str | int = "epoch",
        include: str | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
    ):
        super().__init__()
        self._every = _iterations_between(update_freq)
        self._log_dir = _validate_log_dir(log_dir)
        self._include = validation.expression(include, "include")
        self._metrics = _validate_metrics(metrics)
        # Keras may call batch hooks later, in a thread; by then the weights have changed.
        self.async_safe = self._every is None
        self._writer: Any = None
        self._counter: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        siblings = run_after(self, _only_reads)
        require_built(self.model, "SparsityLogger")
        paths = [variable.path for variable in self.model.weights]
        require_matches(self._include, "include", paths)
        self._require_own_names(siblings)
        self._told: set[str] = set()
        unused = None
        with noted("The search for regularizers that do nothing"):
            unused = on_unused_regularizers(self.model)
        if unused is not None:
            warn(unused)
        self._close()
        if self._log_dir is not False:
            self._writer = ScalarWriter(*self._target(siblings))
        self._written = None
        if self._counter is None or not self._counter.is_of(self.model):
            self._counter = StepCounter(self.model)
        self._counter.begin(self.params.get("steps"))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._counter.begin_epoch(self.model, epoch)
        # In `on_train_begin`, a later BackupAndRestore has not loaded weights yet.
        if self._written is None:
            self._sessions = FitScope.sessions_of(self.model)
            self._logged_at = self._counter.step(self.model)
            self._log()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        taken = [name for name in TOTALS if name in (logs or {})]
        if taken:
            raise ValueError(
                f"SparsityLogger logs {list(TOTALS)}, so no metric of the model may have one of "
                f"these names. Received: metrics named {taken}. Rename them."
            )
        self._counter.end_batch(batch)
        if self._every is None:
            return
        step = self._counter.step_after_batch(self.model)
        # One call may cover several batches (`steps_per_execution`).
        if step // self._every > self._logged_at // self._every:
            self._logged_at = step
            self._log()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._counter.end_epoch(self.model)
        numbers = self._log()
        if logs is not None and numbers is not None:
            logs.update(numbers.totals())

    def on_train_end(self, logs: Logs = None) -> None:
        # Later callbacks may change the weights.
        if put_off(self, until=_may_change_weights, together_with=_only_reads):
            return
        with ending(self, "log the final state"):
            self._log()
        self._close()

    def enter_model(self) -> None:
        """Continues with a smaller model in `kerasreg.fit_and_shrink`."""
        self._sessions = FitScope.sessions_of(self.model)
        self._counter.follow(self.model)

    def _target(self, siblings):
        """The folder of the event files, and the TensorBoard callback that writes to it, if any."""
        callback = shared_callback(siblings, self._log_dir)
        log_dir = callback.log_dir if callback is not None else self._log_dir or "logs"
        return os.path.join(log_dir, "train"), callback

    def _require_own_names(self, siblings):
        for other in siblings:
            if other is self or not isinstance(other, SparsityLogger):
                continue
            writes = self._log_dir is not False and other._log_dir is not False
            is_same = writes and other._target(siblings)[0] == self._target(siblings)[0]
            if is_same or other._include != self._include:
                raise ValueError(
                    "Two SparsityLoggers in one `fit` need different folders and the same "
                    "`include`, because both log the totals. Received: "
                    f"log_dir={self._log_dir!r} and {other._log_dir!r}, "
                    f"include={self._include!r} and {other._include!r}"
                )

    def _log(self):
        """Writes the current numbers and returns them, or None if they cannot be measured."""
        numbers = None
        with noted("Measuring the weights", self._told):
            numbers = numbers_of_fit(self.model, self._include, self._sessions)
        if numbers is None:
            return None
        step = self._counter.step(self.model)
        scalars = numbers.scalars(self._metrics, self.model.name)
        if self._writer is not None and self._written != (step, scalars):
            with noted("Writing to TensorBoard", self._told):
                self._writer.write(scalars, step)
        self._written = (step, scalars)
        if numbers.broken and "broken" not in self._told:
            self._told.add("broken")
            broken = listed([row.path for row in numbers.broken])
            warn(
                f"NaN or infinite weights after {step} iterations in {broken}. Lower the learning "
                "rate, clip gradients (`clipnorm`), or restore an earlier checkpoint.",
                RuntimeWarning,
            )
        return numbers

    def _close(self):
        if self._writer is not None:
            with noted("Closing the event file"):
                self._writer.close()
        self._writer = None


def _only_reads(callback):
    return only_reads(callback, TOTALS)


def _may_change_weights(callback):
    return may_change_weights(callback, TOTALS)


def _validate_log_dir(log_dir):
    if log_dir is None or log_dir is False:
        return log_dir
    try:
        return os.fspath(log_dir)
    except TypeError:
        raise validation.invalid("log_dir", log_dir, "a folder, None or False") from None


def _validate_metrics(metrics):
    is_list = isinstance(metrics, (list, tuple, set, frozenset))
    if not is_list or not all(each in METRICS for each in metrics):
        raise validation.invalid("metrics", metrics, f"a list with some of {list(METRICS)}")
    return tuple(name for name in METRICS if name in metrics)


def _iterations_between(update_freq):
    if isinstance(update_freq, str) and update_freq in ("epoch", "batch"):
        return None if update_freq == "epoch" else 1
    if not validation.is_integer(update_freq) or update_freq < 1:
        expected = '"epoch", "batch", or an int of at least 1'
        raise validation.invalid("update_freq", update_freq, expected)
    return int(update_freq)
