"""Pruning to the highest sparsity at which a metric stays within a tolerance."""

from collections.abc import Callable, Mapping, Sequence

import keras

from kerasreg._callbacks.behaviour import prunes_weights
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._common import validation
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.schedules import Hold
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.search import Search, is_max, validate_levels
from kerasreg._pruning.search_session import SearchSession
from kerasreg._pruning.strategy import Strategy

_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99)


class PruneUntil(SessionCallback):
    """Raises the sparsity while a metric stays within a tolerance of its baseline.

    The first `epochs` epochs train the unpruned model; the best value of the metric in these epochs
    is the baseline. Then each sparsity has up to `epochs` epochs to bring the metric within
    `tolerance` of the baseline. If it succeeds, its weights are kept and the next sparsity is
    tried. If it fails, or after the last sparsity, the fit stops, and the model gets the last kept
    weights.

    Args:
        monitor: the name of a metric in the logs, such as `"val_accuracy"`.
        tolerance: how much worse than the baseline the metric may be, in the units of the metric:
            0.005 is half a percentage point of accuracy.
        sparsities: the sparsities to try, in rising order, each from 0.0 to 1.0.
        epochs: the maximum number of epochs for the baseline and for each sparsity.
        baseline: a value of the metric to compare with. Pruning then starts in the first epoch.
            Default: measured in the first `epochs` epochs.
        mode: `"max"` if a high metric is good, `"min"` if a low one is, or `"auto"` to infer it
            from the name of the metric.
        pattern, score, scope, include, exclude, min_units: see `kerasreg.callbacks.Pruning`.

    After the fit, `sparsity` is the sparsity that was reached (0.0 if none was), and `history` is a
    list of `(epoch, sparsity, value, is_good)`. If another callback sets other weights at the end
    of the fit, they are left unchanged, `sparsity` is their fraction of zeros, and a warning says
    so. With `use_ema`, the model gets the moving averages of the last good model, as Keras does at
    the end of every fit. Level, baseline and the last good weights are saved in every checkpoint,
    so that a fit with `BackupAndRestore` can resume.

    Raises:
        ValueError: for invalid arguments; at the start of `fit`, for a model that is not built; at
            the end of the first epoch, for a metric that is not in the logs.
        RuntimeError: after the first batches, if the model's train step trains pruned weights with
            an optimizer other than that of `compile`.

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
        levels = validate_levels(sparsities)
        self._arguments = (
            levels,
            validation.integer(epochs, "epochs", at_least=1),
            validation.number(tolerance, "tolerance", at_least=0),
            is_max(monitor, mode),
        )
        self._given = validation.number(
            *(baseline, "baseline"), none="the best value of the first `epochs` epochs"
        )
        self._strategy = Strategy(
            Hold(), pattern, score, scope, include, exclude, min_units=min_units, final=levels[-1]
        )
        for level in levels:
            self._strategy.selection.check_sparsity(level)
        self._search = self._new_search()
        self._reached: float | None = None

    @property
    def sparsity(self) -> float:
        """The sparsity that was reached in the last fit, or 0.0 if none was."""
        return self._search.sparsity if self._reached is None else self._reached

    @property
    def history(self) -> list[tuple[int, float, float, bool]]:
        """The epochs of the last fit as a list of `(epoch, sparsity, value, is_good)`."""
        return self._search.history

    @property
    def baseline(self) -> float | None:
        """The value of the metric that others are compared with, or None before it is known."""
        return self._search.baseline

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: not prunes_weights(each))
        self._search, self._reached, self._has_ended = self._new_search(), None, False
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.start_once()
        self._stop_if_over()
        # Not at the end of an epoch, where other callbacks save the measured weights.
        self._session.prune_to_level()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = self._value_of(logs)
        self.synchronize()
        self.check()
        self._session.judge(epoch, value)
        self._stop_if_over()

    def on_train_end(self, logs: Logs = None) -> None:
        if not self._has_ended:
            self._has_ended = True
            with ending(self, "return to the last good model"):
                self._session.restore()
            self.leave()
            # Later callbacks may set other weights, as `EarlyStopping` does.
            if put_off(self, until=lambda each: True):
                return
        self._tell()

    def begin_shrinking(self, model: keras.Model) -> None:
        raise ValueError(
            "`kerasreg.fit_and_shrink` does not support PruneUntil, because PruneUntil restores "
            "weights with fewer zeros and removed units cannot be restored. Train with `fit`, then "
            "use `kerasreg.shrink`."
        )

    def _new_search(self):
        return Search(*self._arguments, self._given)

    def _make_session(self, scope):
        return SearchSession(
            *(self.model, self.model.optimizer, self._strategy, self._search, "PruneUntil", scope)
        )

    def _stop_if_over(self):
        if self._search.is_over:
            self.model.stop_training = True

    def _tell(self):
        """Warn about what was not reached, after all other callbacks have set weights."""
        self.synchronize()
        reached, zeros = self._search.sparsity, self._session.lost_zeros()
        if zeros is not None:
            self._reached = zeros
            warn(
                f"PruneUntil returned to a sparsity of {reached}, but the model now has "
                f"{zeros:.1%} zeros: another callback set other weights at the end of the fit, as "
                "`EarlyStopping(restore_best_weights=True)` does. They are left unchanged. Remove "
                "that callback: PruneUntil itself stops the fit and restores the last good model."
            )
        if self._search.is_over:
            return
        if self.model.stop_training:
            warn(
                f"PruneUntil was stopped at a sparsity of {reached}, before it found the highest "
                "possible one: another callback stopped the fit. Remove `EarlyStopping`: "
                "PruneUntil itself stops the fit."
            )
        else:
            warn(
                f"PruneUntil ran out of epochs at a sparsity of {reached}, before it found the "
                "highest possible one. Pass more `epochs` to `fit`, or more batches if the data "
                "ran out."
            )

    def _value_of(self, logs):
        value = (logs or {}).get(self._monitor)
        if value is None:
            raise ValueError(
                "PruneUntil needs a `monitor` that is in the logs. Received: "
                f"monitor={self._monitor!r}, and logs with {sorted(logs or {})}. Pass "
                "`validation_data` to `fit`, or the name of another metric."
            )
        return float(value)
