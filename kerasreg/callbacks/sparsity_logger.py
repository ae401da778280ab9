"""The sparsity of a model in TensorBoard and in the logs of `fit`."""

import math
import os
import warnings

import keras
from keras import ops

from kerasreg.callbacks.siblings import run_after
from kerasreg.statistics import statistics
from kerasreg.tensorboard.events import ScalarWriter, shared_callback

_TOTALS = ("sparsity", "penalty", "dead_units")
_METRICS = (*_TOTALS, "zeros", "l1", "l2", "max", "dead_inputs", "nonfinite")


class SparsityLogger(keras.callbacks.Callback):
    """Log the numbers of `kerasreg.statistics` while a model trains.

    TensorBoard gets one scalar per number and variable, such as `sparsity/block1/conv/kernel`,
    `dead_units/block1/conv/kernel` or `penalty/block1/conv/kernel`, and those of the whole model,
    such as `total/sparsity`. The step is the number of the optimizer's iterations. The state
    before training and the final one are included. `logs` gets the totals `sparsity` (share of
    exact zeros among all weights), `penalty` and `dead_units`, so that History, CSVLogger,
    EarlyStopping and ModelCheckpoint see them.

    Callbacks that read what this one logs (TensorBoard, CSVLogger, and those that monitor a total)
    run after it, wherever they stand in the list. Those that change weights, such as
    `ThresholdPruning`, should stand before it.

    Args:
        log_dir: the folder of the event files; they go into its subfolder `train`. Default: where
            the `keras.callbacks.TensorBoard` of the same fit writes, or `logs`.
        update_freq: `"epoch"`, `"batch"`, or an int: every so many optimizer iterations.
            Epoch ends are always included.
        include: regular expression of the paths to log; default all weights.

    Raises:
        ValueError: for another `update_freq`; at the start of `fit`, for a folder that cannot be
            written, a model that is not built, or an `include` that matches nothing.

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
        callback = shared_callback(siblings)
        if callback is not None and self._log_dir not in (None, callback.log_dir):
            callback = None
        log_dir = callback.log_dir if callback is not None else self._log_dir or "logs"
        self._written = None
        self._warned = False
        self._logged_at = self._iterations()
        numbers = statistics(self.model, self._include)
        self._writer = ScalarWriter(os.path.join(log_dir, "train"), callback)
        self._write(numbers)

    def on_train_batch_end(self, batch, logs=None):
        if self._every is None:
            return
        iterations = self._iterations()
        # One call may stand for several batches (`steps_per_execution`).
        if iterations // self._every > self._logged_at // self._every:
            self._logged_at = iterations
            self._write(statistics(self.model, self._include))

    def on_epoch_end(self, epoch, logs=None):
        numbers = statistics(self.model, self._include)
        self._write(numbers)
        for name in _TOTALS if logs is not None else ():
            value = getattr(numbers.total, name)
            if name in logs and logs[name] != value:
                raise ValueError(
                    f"SparsityLogger logs '{name}', and so does something else in this fit, with "
                    "another value. Rename the metric of the model."
                )
            logs[name] = float(value or 0)

    def on_train_end(self, logs=None):
        self._write(statistics(self.model, self._include))
        self._writer.close()

    def _write(self, numbers):
        scalars = _scalars(numbers)
        step = self._iterations()
        if self._written != (step, scalars):
            self._writer.write(scalars, step)
            self._written = (step, scalars)
        if numbers.total.nonfinite and not self._warned:
            self._warned = True
            broken = [row.path for row in numbers if row.nonfinite]
            warnings.warn(
                f"NaN or infinite weights after {step} iterations in {broken}.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _iterations(self):
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))


def _scalars(numbers):
    """`{tag: number}`; what is unknown or does not apply has no tag."""
    scalars = {}
    for metric in _METRICS:
        scalars[f"total/{metric}"] = getattr(numbers.total, metric)
        for row in numbers:
            if metric != "penalty" or row.regularized:
                scalars[f"{metric}/{row.path}"] = getattr(row, metric)
    # A NaN is unequal to itself, and would never count as already written.
    return {
        tag: math.nan if math.isnan(value) else value
        for tag, value in scalars.items()
        if value is not None
    }


def _reads_totals(callback):
    stock = (keras.callbacks.TensorBoard, keras.callbacks.CSVLogger)
    return isinstance(callback, stock) or getattr(callback, "monitor", None) in _TOTALS


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
