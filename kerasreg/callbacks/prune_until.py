"""Prune as far as a metric allows."""

import math
import numbers

import numpy as np
from keras import ops

from kerasreg.callbacks.siblings import prunes, run_after
from kerasreg.callbacks.train_step_callback import TrainStepCallback
from kerasreg.pruning.schedules import OnDemand
from kerasreg.pruning.strategy import Strategy
from kerasreg.pruning.timeline import Run, validate_sparsity
from kerasreg.pruning.training import PruningTraining
from kerasreg.train_step import FitScope
from kerasreg.warn import warn

_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99)


class PruneUntil(TrainStepCallback):
    """Raise the sparsity until a metric leaves its tolerance, and return to the last good model.

    The first `epochs` epochs train the model as it is, and the best value of the metric in them
    is the baseline. Then each sparsity has up to `epochs` epochs to come within `tolerance` of the
    baseline. If it does, the weights are kept, and the next sparsity is tried; if it does not, or
    after the last one, the last kept weights are set and the fit stops.

    Args:
        monitor: the name of a metric in the logs, such as `"val_accuracy"`.
        tolerance: how much worse than the baseline the metric may be, in its own units: 0.005 is
            half a point of accuracy.
        sparsities: the rising sparsities that are tried.
        epochs: how many epochs each of them has at most.
        baseline: a value of the metric, in place of the first epochs: pruning starts at once.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by its name.
        pattern, score, scope, include, exclude: see `kerasreg.callbacks.Pruning`.

    After the fit, `sparsity` is the one that was reached (0.0 if none), `history` a list of
    `(epoch, sparsity, value, whether it was good)`.

    Raises:
        ValueError: for bad arguments; at the start of `fit`, for a model that is not built; and at
            the end of the first epoch, for a metric that is not in the logs.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> model.compile("adam", "mse")
    >>> until = kerasreg.callbacks.PruneUntil("loss", tolerance=10.0, sparsities=(0.5, 0.75))
    >>> x, y = np.ones((32, 8)), np.ones((32, 6))
    >>> _ = model.fit(x, y, epochs=9, verbose=0, callbacks=[until])
    >>> until.sparsity, kerasreg.statistics(model)["net/dense/kernel"].sparsity
    (0.75, 0.75)
    """

    prunes_weights = True

    def __init__(
        self,
        monitor="val_accuracy",
        tolerance=0.01,
        sparsities=_LEVELS,
        epochs=1,
        baseline=None,
        mode="auto",
        pattern="unstructured",
        score="magnitude",
        scope="layer",
        include=None,
        exclude=None,
    ):
        super().__init__()
        self._monitor = monitor
        self._tolerance = _validate_tolerance(tolerance)
        self._levels = _validate_levels(sparsities)
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
            raise ValueError(f"`epochs` must be an int of at least 1. Received: epochs={epochs!r}")
        self._epochs, self._given = epochs, baseline
        self._is_max = _is_max(monitor, mode)
        self._strategy = Strategy(
            OnDemand(self._levels[-1]), pattern, score, scope, include, exclude, True, None, 0.3
        )
        for level in self._levels:
            self._strategy.rule.check_sparsity(level)
        self.sparsity, self.history = 0.0, []

    def on_train_begin(self, logs=None):
        run_after(self, lambda each: not prunes(each))
        scope = FitScope.of(self.model)
        try:
            self._training = PruningTraining(
                self.model, self.model.optimizer, self._strategy, "PruneUntil", scope.inside
            )
        except ValueError:
            scope.release()
            self.release_unused()
            raise
        self._started, self._good = False, None
        self.sparsity, self.history = 0.0, []
        self.baseline, self._level, self._left = self._given, -1, self._epochs
        self._training.on()
        scope.enter(self._training.off)

    def on_epoch_begin(self, epoch, logs=None):
        if not self._started:
            self._training.start(Run())
            self._started = True
            if self.baseline is not None:
                self._keep()
                self._raise_sparsity()

    def on_epoch_end(self, epoch, logs=None):
        value = self._value_of(logs)
        _ = self.model  # On JAX, this brings the state of training into the variables.
        self.require_in_step(self._training.is_in_step)
        self._left -= 1
        if self._level < 0:
            self._measure_baseline(epoch, value)
            return
        is_good = self._loss(value) <= self._loss(self.baseline) + self._tolerance
        self.history.append((epoch, self._levels[self._level], value, is_good))
        if is_good:
            self.sparsity = self._levels[self._level]
            self._keep()
            self._raise_sparsity()
        elif not self._left:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._level < len(self._levels) and not self.model.stop_training:
            warn(
                f"PruneUntil ran out of epochs at a sparsity of {self.sparsity}: pass more to "
                "`fit` to find out how far it can go."
            )
        if self._good is not None:
            self._restore()
        FitScope.of(self.model).leave(self._training.off)

    def _measure_baseline(self, epoch, value):
        self.history.append((epoch, 0.0, value, True))
        if self.baseline is None or self._loss(value) <= self._loss(self.baseline):
            self.baseline = value
            self._keep()
        if not self._left:
            self._raise_sparsity()

    def _raise_sparsity(self):
        self._level += 1
        self._left = self._epochs
        if self._level == len(self._levels):
            self.model.stop_training = True
            return
        self._training.prune(self._levels[self._level], self._training.done())

    def _keep(self):
        self._good = [np.array(ops.convert_to_numpy(v)) for v in self.model.weights]

    def _restore(self):
        for variable, value in zip(self.model.weights, self._good, strict=True):
            variable.assign(value)

    def _loss(self, value):
        return -value if self._is_max else value

    def _value_of(self, logs):
        value = (logs or {}).get(self._monitor)
        if value is None:
            raise ValueError(
                f"PruneUntil needs `monitor` in the logs. Received: monitor={self._monitor!r}; the "
                f"logs have {sorted(logs or {})}. Pass `validation_data` to `fit`, or another name."
            )
        return float(value)


def _validate_tolerance(value):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ValueError(
            f"`tolerance` must be a number of at least 0. Received: tolerance={value!r}"
        )
    return float(value)


def _validate_levels(values):
    levels = [validate_sparsity(value, "sparsities") for value in values]
    if not levels or levels != sorted(set(levels)):
        raise ValueError(f"`sparsities` must rise. Received: sparsities={values!r}")
    return levels


def _is_max(monitor, mode):
    if mode not in ("auto", "max", "min"):
        raise ValueError(f'`mode` must be "auto", "max" or "min". Received: mode={mode!r}')
    if mode != "auto":
        return mode == "max"
    name = str(monitor).lower()
    if any(part in name for part in ("loss", "error", "mse", "mae", "mape", "msle", "perplexity")):
        return False
    if any(part in name for part in ("acc", "auc", "precision", "recall", "f1", "iou", "score")):
        return True
    raise ValueError(
        f'`mode` must be "max" or "min", because the name of {monitor!r} does not tell which.'
    )
