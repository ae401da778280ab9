"""The sparsity of a model in TensorBoard and in the logs of `fit`."""

import math
import os
from dataclasses import replace

import keras
from keras import ops

from kerasreg.callbacks.coupled_group_lasso import CoupledGroupLasso
from kerasreg.callbacks.siblings import put_off, reads_logs, restores_weights, run_after
from kerasreg.callbacks.threshold_pruning import ThresholdPruning
from kerasreg.callbacks.train_step_callback import ending
from kerasreg.statistics import statistics
from kerasreg.tensorboard.events import ScalarWriter, shared_callback
from kerasreg.texts import listed
from kerasreg.warn import warn

_TOTALS = ("sparsity", "penalty", "dead_units")
_METRICS = (*_TOTALS, "zeros", "l1", "l2", "max", "dead_inputs", "nonfinite")


class SparsityLogger(keras.callbacks.Callback):
    """Log the numbers of `kerasreg.statistics` while a model trains.

    TensorBoard gets one scalar per number and variable, such as `sparsity/block1/conv/kernel`,
    `dead_units/block1/conv/kernel` or `penalty/block1/conv/kernel`, and those of all together,
    such as `total/sparsity`. Penalties of a `CoupledGroupLasso` of the same fit are in the total,
    and in `penalty/coupled/...` by group. The step is the number of the optimizer's iterations.
    The state before training and the final one are included. `logs` gets the totals `sparsity`
    (the share of exact zeros), `penalty` and, where a layer's units are known, `dead_units`, so
    that History, CSVLogger, EarlyStopping and ModelCheckpoint see them.

    Callbacks that read what this one logs (History, TensorBoard, CSVLogger, and those that monitor
    a total) run after it, wherever they stand in the list. Callbacks of your own that change
    weights should stand before it.

    Args:
        log_dir: the folder of the event files; they go into its subfolder `train`. Default: where
            the `keras.callbacks.TensorBoard` of the same fit writes, or `logs`.
        update_freq: `"epoch"`, `"batch"`, or an int: every so many optimizer iterations.
            Epoch ends are always included.
        include: regular expression of the paths to log, and to add up; default all weights.

    Raises:
        ValueError: for another `update_freq`; at the start of `fit`, for a folder that cannot be
            written, a model that is not built or has no optimizer, an `include` that matches
            nothing, or two loggers that write the same names; after the first batch, for a metric
            named like a total.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> logger = kerasreg.callbacks.SparsityLogger(log_dir=tmp_path)
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[logger])
    >>> history.history["sparsity"]
    [0.0]
    """

    def __init__(self, log_dir=None, update_freq="epoch", include=None):
        super().__init__()
        self._every = _iterations_between(update_freq)
        self._log_dir = None if log_dir is None else os.fspath(log_dir)
        self._include = include
        # Keras may call batch hooks later, in a thread; then the weights have moved on.
        self.async_safe = self._every is None
        self._writer = None

    def on_train_begin(self, logs=None):
        siblings = run_after(self, _reads_totals)
        self._require_own_names(siblings)
        self._require_optimizer()
        statistics(self.model, self._include)
        if self._writer is not None:
            self._writer.close()
        self._writer = ScalarWriter(*self._target(siblings))
        self._coupled = [each for each in siblings if isinstance(each, CoupledGroupLasso)]
        self._written = None
        self._warned = False

    def on_epoch_begin(self, epoch, logs=None):
        # Not in `on_train_begin`, where BackupAndRestore may still come.
        if self._written is None:
            self._begun_at = self._logged_at = self._iterations()
            self._write()

    def on_train_batch_end(self, batch, logs=None):
        taken = [name for name in _TOTALS if name in (logs or {})]
        if taken:
            raise ValueError(
                f"SparsityLogger logs {list(_TOTALS)}. Received: a model that has metrics of the "
                f"names {taken}. Rename them."
            )
        if self._every is None:
            return
        iterations = self._iterations()
        # One call may stand for several batches (`steps_per_execution`).
        if iterations // self._every > self._logged_at // self._every:
            self._logged_at = iterations
            self._write()

    def on_epoch_end(self, epoch, logs=None):
        total = self._write().total
        for name in _TOTALS if logs is not None else ():
            value = getattr(total, name)
            if value is not None:
                logs[name] = float(value)
        if self._iterations() == self._begun_at:
            warn(
                "The optimizer of `compile` made no update in this fit, and SparsityLogger counts "
                f"its iterations: all points are at step {self._begun_at}.",
                RuntimeWarning,
            )

    def on_train_end(self, logs=None):
        if put_off(self, until=_changes_weights, together_with=_reads_totals):
            return
        with ending(self, "log the final state"):
            self._write()
        with ending(self, "close its file"):
            self._writer.close()

    def _target(self, siblings):
        """The folder of the run, and the stock callback that has an event file open in it."""
        callback = shared_callback(siblings, self._log_dir)
        log_dir = callback.log_dir if callback is not None else self._log_dir or "logs"
        return os.path.join(log_dir, "train"), callback

    def _require_own_names(self, siblings):
        run_dir = self._target(siblings)[0]
        for other in siblings:
            if other is self or not isinstance(other, SparsityLogger):
                continue
            if other._target(siblings)[0] == run_dir or other._include != self._include:
                raise ValueError(
                    "Two SparsityLoggers of one fit need different folders, and the same "
                    "`include`, because both log the totals. Received: "
                    f"log_dir={self._log_dir!r} and {other._log_dir!r}, "
                    f"include={self._include!r} and {other._include!r}"
                )

    def _require_optimizer(self):
        if getattr(self.model, "optimizer", None) is None:
            raise ValueError(
                "SparsityLogger counts the iterations of the optimizer of `compile`. Received: "
                f"'{self.model.name}', which was compiled without one."
            )

    def _write(self):
        numbers = statistics(self.model, self._include)
        coupled = self._coupled_penalties()
        penalty = numbers.total.penalty + sum(coupled.values())
        numbers = replace(numbers, total=replace(numbers.total, penalty=penalty))
        scalars = {**_scalars(numbers, self.model.name), **coupled}
        step = self._iterations()
        if self._written != (step, scalars):
            self._writer.write(scalars, step)
            self._written = (step, scalars)
        if numbers.total.nonfinite and not self._warned:
            self._warned = True
            broken = [row.path for row in numbers if row.nonfinite]
            warn(
                f"NaN or infinite weights after {step} iterations in {listed(broken)}.",
                RuntimeWarning,
            )
        return numbers

    def _coupled_penalties(self):
        """`{tag: penalty}` of the groups that other callbacks of this fit penalise."""
        return {
            f"penalty/coupled/{group.name}": penalties[group.name]
            for callback in self._coupled
            for penalties in [callback.penalties()]
            for group in callback.groups
            if group.matches(self._include or "")
        }

    def _iterations(self):
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))


def _scalars(numbers, model_name):
    """`{tag: number}`; what is unknown or does not apply has no tag."""
    scalars = {}
    for metric in _METRICS:
        scalars[f"total/{metric}"] = getattr(numbers.total, metric)
        for row in numbers:
            if metric != "penalty" or row.regularized:
                # The next Sequential is `sequential_1`, and its curves belong beside the first's.
                path = row.path.removeprefix(f"{model_name}/")
                scalars[f"{metric}/{path}"] = getattr(row, metric)
    # A NaN is unequal to itself, and would never count as already written.
    return {
        tag: math.nan if math.isnan(value) else value
        for tag, value in scalars.items()
        if value is not None
    }


def _reads_totals(callback):
    return reads_logs(callback, _TOTALS)


def _changes_weights(callback):
    polishes = getattr(callback, "polishes", False)
    return restores_weights(callback) or polishes or isinstance(callback, ThresholdPruning)


def _iterations_between(update_freq):
    if update_freq == "epoch":
        return None
    every = 1 if update_freq == "batch" else update_freq
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(
            '`update_freq` must be "epoch", "batch", or an int of at least 1. '
            f"Received: update_freq={update_freq!r}"
        )
    return every
