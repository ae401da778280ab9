"""Threshold pruning during `fit`."""

import math
from collections.abc import Mapping, Sequence

from kerasreg._callbacks.behaviour import prunes_weights, restores_weights
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._pruning.threshold import ThresholdRule, epochs_to_prune
from kerasreg._train_step.hold import HoldSession
from kerasreg._train_step.masks import zero_averages


class ThresholdPruning(SessionCallback):
    """Set weights with `|w| < threshold` to exactly 0, at the end of the fit or of some epochs.

    Args:
        threshold: in the units of the weights, or, with `relative`, in multiples of the
            variable's root mean square. A float, or a dict from regular expression (searched in
            the paths of variables) to float.
        at: `"end"`, or the zero-based number of an epoch, or several: prune when they end.
        hold: whether what is zero after a pruning stays zero for the rest of the fit, inside of
            the compiled step, whatever momentum does. Without, weights may grow again.
        relative: whether thresholds are multiples of `sqrt(mean(w^2))` of each variable.
        include: regular expression of the paths to prune; default all trainable variables of two
            or more dimensions.
        exclude: regular expression of paths to leave alone.

    It runs before the other callbacks, wherever it stands in the list, so that what is saved or
    logged at the end of an epoch has the zeros. Only at the end of the fit it waits, with
    `at="end"`, for an `EarlyStopping` that restores the best weights. Weights that are set later
    stay as they were set; a warning says so if they have fewer zeros. After the fit, `pruned` is
    `{epoch: {path: how many weights became zero}}`, with the key `"end"` for the end.

    Raises:
        ValueError: for a bad threshold; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or an epoch that this fit does not reach; and for
            NaN or infinite weights when it prunes.
        RuntimeError: with `hold`, after the first batches, if the model's train step trains
            weights with another optimizer than that of `compile`.

    Example:

    >>> layers = [keras.Input((2,)), keras.layers.Dense(1, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> model.set_weights([np.array([[1.0], [0.01]]), np.zeros(1)])
    >>> pruning = kerasreg.callbacks.ThresholdPruning(0.1)
    >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[pruning])
    >>> pruning.pruned
    {'end': {'net/dense/kernel': 1}}
    """

    prunes_weights = True

    def __init__(
        self,
        threshold: float | Mapping[str, float] = 1e-3,
        at: str | int | Sequence[int] = "end",
        hold: bool = False,
        relative: bool = False,
        include: str | None = None,
        exclude: str | None = None,
    ):
        super().__init__()
        self._rule = ThresholdRule(threshold, relative, include, exclude)
        self._epochs = epochs_to_prune(at)
        if hold and not self._epochs:
            raise ValueError(
                '`hold=True` keeps zeros for the rest of the fit, and after `at="end"` nothing is '
                "left of it. Pass the epochs after which to prune, such as `at=5`."
            )
        self._hold = hold
        self.pruned: dict[int, dict[str, int]] = {}

    @property
    def has_updates(self) -> bool:  # type: ignore[override]
        return self._hold

    def on_train_begin(self, logs: Logs = None) -> None:
        run_after(self, lambda each: not prunes_weights(each))
        self.pruned = {}
        self._last_epoch, self._has_ended, self._zeros = math.inf, False, 0
        with self.undone_by_errors():
            self._targets = self._rule.targets(self.model, "ThresholdPruning")
            self._require_epochs()
        if self._hold:
            self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if not self._hold:
            return
        if not self.start_once():
            # Earlier weights may have been set: no hybrid of those and of the zeros of now.
            self._session.follow()
        elif any(each < epoch for each in self._epochs) and not self._session.was_restored():
            self._session.hold()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._last_epoch = epoch
        if self._hold:
            self.check()
        if epoch in self._epochs:
            self.pruned[epoch] = self._rule.apply(self._targets)
            zero_averages(self.model.optimizer, [variable for variable, _ in self._targets])
            if self._hold:
                self._session.hold()
                self._zeros = self._count_zeros()

    def on_train_end(self, logs: Logs = None) -> None:
        if not self._has_ended:
            if not self._epochs and put_off(self, until=restores_weights):
                return
            self._has_ended = True
            self._end()
            # Any of the others may set weights now.
            if put_off(self, until=lambda each: True):
                return
        self._warn_of_older_weights()

    def _end(self):
        if not self._epochs:
            with ending(self, "prune"):
                self.pruned["end"] = self._rule.apply(self._targets)
                self._zeros = self._count_zeros()
        missed = sorted(epoch for epoch in self._epochs if epoch > self._last_epoch)
        if missed:
            warn(
                f"ThresholdPruning did not prune at {missed}: the fit ended after epoch "
                f"{self._last_epoch}.",
                RuntimeWarning,
            )
        if self._hold:
            self.leave()

    def _count_zeros(self):
        return sum(int((host_view(v) == 0).sum()) for v, _ in self._targets)

    def _warn_of_older_weights(self):
        self.synchronize()
        zeros = self._count_zeros()
        if zeros < self._zeros:
            warn(
                f"ThresholdPruning had {self._zeros:,} zeros after its last pruning, and the model "
                f"has {zeros:,}: weights were set that come from before it. They stay as they were "
                "set. Choose the best epoch among the later ones: "
                f"`EarlyStopping(start_from_epoch={max(self._epochs, default=-1) + 1})`."
            )

    def _require_epochs(self):
        epochs = self.params.get("epochs")
        late = sorted(epoch for epoch in self._epochs if epochs is not None and epoch >= epochs)
        if late:
            raise ValueError(
                f"`at` must name epochs of this fit, 0 to {epochs - 1}; else nothing would be "
                f"pruned. Received: {late}"
            )

    def _make_session(self, scope):
        return HoldSession(
            *(self.model, self.model.optimizer, [variable for variable, _ in self._targets]),
            caller="ThresholdPruning",
            scope=scope,
        )
