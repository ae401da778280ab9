"""Prune as far as a metric allows."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._pruning.pattern import Pattern
from kerasreg._pruning.schedules import OnDemand
from kerasreg._pruning.scores import Score
from kerasreg._pruning.strategy import Strategy
from kerasreg._pruning.timeline import Run, validate_sparsity
from kerasreg._pruning.training import PruningTraining
from kerasreg._train_step import FitScope
from kerasreg.callbacks.siblings import prunes, put_off, run_after
from kerasreg.callbacks.train_step_callback import TrainStepCallback, ending

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
        pattern, score, scope, include, exclude, min_units: see `kerasreg.callbacks.Pruning`.

    After the fit, `sparsity` is the one that was reached (0.0 if none), `history` a list of
    `(epoch, sparsity, value, whether it was good)`. If another callback sets other weights when the
    fit ends, they stay, `sparsity` is their fraction of zeros, and a warning says so. With
    `use_ema`, the averages of the last good model are set, as Keras sets them. Level, baseline and
    the last good weights are in every checkpoint, so that a fit resumes (`BackupAndRestore`).

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
        monitor: str = "val_accuracy",
        tolerance: float = 0.01,
        sparsities: Sequence[float] = _LEVELS,
        epochs: int = 1,
        baseline: float | None = None,
        mode: str = "auto",
        pattern: str | Pattern = "unstructured",
        score: str | Score | Callable = "magnitude",
        scope: str | Mapping[str, float] = "layer",
        include: str | None = None,
        exclude: str | None = None,
        *,
        min_units: int = 1,
    ):
        super().__init__()
        self._monitor = monitor
        self._tolerance = validation.number(tolerance, "tolerance", at_least=0)
        self._levels = _validate_levels(sparsities)
        self._epochs = validation.integer(epochs, "epochs", at_least=1)
        self._given = validation.number(
            *(baseline, "baseline"), none="the value after the first epoch"
        )
        self._is_max = _is_max(monitor, mode)
        self._strategy = Strategy(
            *(OnDemand(self._levels[-1]), pattern, score, scope, include, exclude),
            *(True, None, 0.3, min_units),
        )
        for level in self._levels:
            self._strategy.selection.check_sparsity(level)
        self.sparsity = 0.0
        self.history: list = []

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: not prunes(each))
        scope = FitScope.of(self.model)
        try:
            self._training = PruningTraining(
                self.model, self.model.optimizer, self._strategy, "PruneUntil", scope.inside
            )
        except ValueError:
            scope.abandon()
            self.release_unused()
            raise
        self._is_over, self._pruned_level = False, -1
        self._started, self._ended, self._good, self._zeros = False, False, None, 0.0
        self.sparsity, self.history = 0.0, []
        self.baseline, self._level, self._left = self._given, -1, self._epochs
        self._training.on()
        scope.enter(self._training.off)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if not self._started:
            self._training.start(Run())
            self.begin_looking(self._training.coverage)
            self._started = True
            if not self._resume() and self.baseline is not None:
                self._keep()
                self._raise_sparsity()
                self._back_up()
        # Not at the end of the epoch, where others save the weights that were measured.
        if self._level > self._pruned_level and not self._is_over:
            self._training.prune(self._levels[self._level], self._training.done())
            self._pruned_level = self._level

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = self._value_of(logs)
        _ = self.model  # On JAX, this brings the state of training into the variables.
        self.require_coverage()
        self._left -= 1
        self._judge(epoch, value)
        self._back_up()

    def _judge(self, epoch, value):
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
            self._stop()

    def on_train_end(self, logs: Logs = None) -> None:
        if not self._ended:
            self._ended = True
            if self._good is not None:
                with ending(self, "return to the last good model"):
                    self._restore()
            FitScope.of(self.model).leave(self._training.off)
            # Any of the others may set weights now, as `EarlyStopping` does.
            if put_off(self, until=lambda each: True):
                return
        self._tell()

    def _tell(self):
        """Say what the weights are, after everybody has set them."""
        _ = self.model  # On JAX, this brings the state of training into the variables.
        zeros, reached = self._training.zeros(), self.sparsity
        if zeros < self._zeros - 1e-9:
            self.sparsity = zeros
            warn(
                f"PruneUntil returned to a sparsity of {reached}, and the model has {zeros:.1%} "
                "zeros: another callback set other weights when the fit ended, as "
                "`EarlyStopping(restore_best_weights=True)` does. They stay as they were set. "
                "Leave that out: PruneUntil ends the fit, and returns to the last good model."
            )
        if self._is_over:
            return
        if self.model.stop_training:
            warn(
                f"PruneUntil was stopped at a sparsity of {reached}, before it knew how far it can "
                "go: another callback ended the fit. Leave `EarlyStopping` out: PruneUntil ends "
                "the fit."
            )
        else:
            warn(
                f"PruneUntil ran out of epochs at a sparsity of {reached}: pass more to `fit` (or "
                "more data, where they ran dry) to find out how far it can go."
            )

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
            self._stop()

    def _stop(self):
        self._is_over = self.model.stop_training = True

    def _kept(self):
        averages = [average for _, average in self._training.averages()]
        return [*self.model.weights, *averages]

    def _keep(self):
        self._good = [np.array(ops.convert_to_numpy(v)) for v in self._kept()]
        self._zeros = self._training.zeros()
        for number, value in enumerate(self._good):
            self._training.keep(f"until_good_{number}", value)

    def _restore(self):
        for variable, value in zip(self._kept(), self._good, strict=True):
            variable.assign(value)
        # As Keras does at the end of every fit with `use_ema`.
        for variable, average in self._training.averages():
            variable.assign(average)

    def _back_up(self):
        """What a fit that is killed needs to go on."""
        state = [self._level, self._left, self.sparsity, self._zeros, self._is_over]
        baseline = math.nan if self.baseline is None else self.baseline
        self._training.keep("until", np.array([*state, baseline], "float64"))
        self._training.keep("until_history", np.array(self.history, "float64").reshape(-1, 4))

    def _resume(self):
        """Go on where a checkpoint of this fit was; returns whether there is one."""
        state = self._training.kept("until")
        if state is None:
            return False
        level, left, self.sparsity, self._zeros, is_over, baseline = map(float, state)
        self._level, self._left, self._is_over = int(level), int(left), bool(is_over)
        self.baseline = None if math.isnan(baseline) else baseline
        rows = self._training.kept("until_history").tolist()
        self.history = [(int(epoch), *numbers, bool(good)) for epoch, *numbers, good in rows]
        good = [self._training.kept(f"until_good_{i}") for i in range(len(self._kept()))]
        if good[0] is not None:
            self._good = good
            for number, value in enumerate(good):
                self._training.keep(f"until_good_{number}", value)
        self._back_up()
        if self._is_over:
            self.model.stop_training = True
        return True

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


def _validate_levels(values):
    levels = [validate_sparsity(value, "sparsities") for value in values]
    if not levels or levels != sorted(set(levels)):
        raise validation.invalid("sparsities", values, "a rising sequence of numbers from 0 to 1")
    return levels


def _is_max(monitor, mode):
    if not isinstance(mode, str) or mode not in ("auto", "max", "min"):
        raise validation.invalid("mode", mode, '"auto", "max" or "min"')
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
