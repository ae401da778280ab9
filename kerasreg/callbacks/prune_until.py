"""Prune as far as a metric allows."""

from collections.abc import Callable, Mapping, Sequence

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
        levels = validate_levels(sparsities)
        self._arguments = (
            levels,
            validation.integer(epochs, "epochs", at_least=1),
            validation.number(tolerance, "tolerance", at_least=0),
            is_max(monitor, mode),
        )
        self._given = validation.number(
            *(baseline, "baseline"), none="the value after the first epoch"
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
        """The sparsity that was reached in the last fit; 0.0 if none."""
        return self._search.sparsity if self._reached is None else self._reached

    @property
    def history(self) -> list[tuple[int, float, float, bool]]:
        """`[(epoch, sparsity, value, whether it was good)]` of the last fit."""
        return self._search.history

    @property
    def baseline(self) -> float | None:
        """The value of the metric that the others are compared with."""
        return self._search.baseline

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: not prunes_weights(each))
        self._search, self._reached, self._has_ended = self._new_search(), None, False
        self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.start_once()
        self._stop_if_over()
        # Not at the end of the epoch, where others save the weights that were measured.
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
            # Any of the others may set weights now, as `EarlyStopping` does.
            if put_off(self, until=lambda each: True):
                return
        self._tell()

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
        """Say what the weights are, after all callbacks have set them."""
        self.synchronize()
        reached, zeros = self._search.sparsity, self._session.lost_zeros()
        if zeros is not None:
            self._reached = zeros
            warn(
                f"PruneUntil returned to a sparsity of {reached}, and the model has {zeros:.1%} "
                "zeros: another callback set other weights when the fit ended, as "
                "`EarlyStopping(restore_best_weights=True)` does. They stay as they were set. "
                "Leave that out: PruneUntil ends the fit, and returns to the last good model."
            )
        if self._search.is_over:
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

    def _value_of(self, logs):
        value = (logs or {}).get(self._monitor)
        if value is None:
            raise ValueError(
                f"PruneUntil needs `monitor` in the logs. Received: monitor={self._monitor!r}; the "
                f"logs have {sorted(logs or {})}. Pass `validation_data` to `fit`, or another name."
            )
        return float(value)
