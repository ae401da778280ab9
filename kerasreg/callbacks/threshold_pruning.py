"""Threshold pruning during `fit`."""

import math
from collections.abc import Mapping, Sequence

from kerasreg._callbacks.behaviour import prunes_weights, restores_weights
from kerasreg._callbacks.best_files import BestFiles
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off, run_after
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._pruning.threshold import ThresholdRule, epochs_to_prune
from kerasreg._train_step.hold import HoldSession
from kerasreg._train_step.masks import zero_averages


class ThresholdPruning(SessionCallback):
    """Sets weights with `|w| < threshold` to exactly 0, at the end of the fit or of given epochs.

    Args:
        threshold: a number >= 0 that magnitudes are compared with, or a dict from regular
            expression to such a number; then the first expression that is found in the path of a
            variable counts.
        at: `"end"`, or one or several epochs, counted from 0, at the end of which to prune.
        hold: whether weights that are zero after a pruning stay zero for the rest of the fit; masks
            inside the compiled train step ensure it. If False, they may grow again.
        relative: whether thresholds are multiples of the root mean square of each variable,
            `sqrt(mean(w^2))`.
        include: regular expression, searched in the paths of the variables to prune. Default: all
            trainable variables of two or more dimensions, except normalizations, biases and
            adapters.
        exclude: regular expression, searched in the paths of variables that are not pruned.

    It runs before the other callbacks, whatever the order of the list, so that they save and log
    the pruned weights. Only with `at="end"`, it runs after an `EarlyStopping` that restores the
    best weights. Weights that another callback sets later are left unchanged; a warning says so if
    they have fewer zeros. After the fit, `pruned` is
    `{epoch: {path: number of weights that became zero}}`, with the key `"end"` for `at="end"`.

    Raises:
        ValueError: for invalid arguments; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or an epoch that this fit does not reach; when weights
            are pruned, for NaN or infinite weights.
        RuntimeError: with `hold`, after the first batches, if the model's train step trains pruned
            weights with an optimizer other than that of `compile`.

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
                "`hold=True` keeps zeros for the rest of the fit, so it needs earlier epochs to "
                'prune. Received: hold=True, at="end". Pass epochs, such as `at=5`.'
            )
        self._hold = hold
        self.pruned: dict[int, dict[str, int]] = {}

    @property
    def has_updates(self) -> bool:  # type: ignore[override]
        return self._hold

    def on_train_begin(self, logs: Logs = None) -> None:
        self._files = BestFiles(run_after(self, lambda each: not prunes_weights(each)))
        self.pruned = {}
        self._last_epoch, self._has_ended, self._zeros = math.inf, False, 0
        with self.undone_by_errors():
            self._targets = self._rule.targets(self.model, "ThresholdPruning")
            self._require_epochs()
        if self._hold:
            self.enter(self._make_session)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._files.look(self._count_zeros)
        if not self._hold:
            return
        if not self.start_once():
            # Earlier weights that another callback set must not get the current zeros.
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
            # Later callbacks may set other weights.
            if put_off(self, until=lambda each: True):
                return
        self._warn_of_older_weights()

    def leave_model(self) -> None:
        if self._hold:
            super().leave_model()

    def enter_model(self) -> None:
        self._targets = self._rule.targets(self.model, "ThresholdPruning")
        self._zeros = self._count_zeros()
        if self._hold:
            super().enter_model()

    def set_restored_model(self) -> None:
        self.leave_model()
        self._targets = self._rule.targets(self.model, "ThresholdPruning")

    def _end(self):
        self._files.look(self._count_zeros)
        if not self._epochs:
            with ending(self, "prune"):
                self.pruned["end"] = self._rule.apply(self._targets)
                self._zeros = self._count_zeros()
        missed = sorted(epoch for epoch in self._epochs if epoch > self._last_epoch)
        if missed:
            warn(
                f"ThresholdPruning did not prune at {missed}: the fit ended after epoch "
                f"{self._last_epoch}. Train longer, or pass earlier epochs as `at`.",
                RuntimeWarning,
            )
        if self._hold:
            self.leave()

    def _count_zeros(self):
        return sum(int((host_view(v) == 0).sum()) for v, _ in self._targets)

    def _warn_of_older_weights(self):
        self.synchronize()
        zeros, epoch = self._count_zeros(), max(self._epochs, default=-1) + 1
        if self._epochs:
            # With `at="end"`, no epoch has the zeros.
            self._files.warn("ThresholdPruning", min(zeros, self._zeros), epoch, "{:,}")
        if zeros < self._zeros:
            warn(
                f"There were {self._zeros:,} zeros after the last pruning of ThresholdPruning, but "
                f"the model now has {zeros:,}: another callback set weights from before that "
                "pruning. They are left unchanged. To choose the best epoch among the later ones, "
                f"pass `EarlyStopping(start_from_epoch={epoch})`."
            )

    def _require_epochs(self):
        epochs = self.params.get("epochs")
        late = sorted(epoch for epoch in self._epochs if epochs is not None and epoch >= epochs)
        if late:
            raise ValueError(
                f"`at` must contain epochs of this fit, 0 to {epochs - 1}; at later ones nothing "
                f"would be pruned. Received: {late}"
            )

    def _make_session(self, scope):
        return HoldSession(
            *(self.model, self.model.optimizer, [variable for variable, _ in self._targets]),
            caller="ThresholdPruning",
            scope=scope,
        )
