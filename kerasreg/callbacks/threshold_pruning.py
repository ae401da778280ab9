"""Threshold pruning during `fit`."""

import keras

from kerasreg.pruning.masks import HoldUpdate
from kerasreg.pruning.threshold import ThresholdRule, epochs_to_prune
from kerasreg.train_step import FitScope, UpdateHook


class ThresholdPruning(keras.callbacks.Callback):
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

    After the fit, `pruned` is `{epoch: {path: how many weights became zero}}`, with the key
    `"end"` for the end.

    Raises:
        ValueError: for a bad threshold; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or an epoch that this fit does not reach; and for
            NaN or infinite weights when it prunes.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> model.set_weights([np.array([[1.0], [0.01]]), np.zeros(1)])
    >>> pruning = kerasreg.callbacks.ThresholdPruning(0.1)
    >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[pruning])
    >>> pruning.pruned
    {'end': {'dense/kernel': 1}}
    """

    def __init__(
        self, threshold=1e-3, at="end", hold=False, relative=False, include=None, exclude=None
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
        self.pruned = {}

    def set_model(self, model):
        super().set_model(model)
        # Before any `on_train_begin`: BackupAndRestore may load our masks there, in any order.
        if self._hold and getattr(model, "optimizer", None) is not None:
            UpdateHook.of(model.optimizer)

    def on_train_begin(self, logs=None):
        self.pruned = {}
        self._first_epoch = None
        self._targets = self._rule.targets(self.model)
        epochs = self.params.get("epochs")
        late = sorted(epoch for epoch in self._epochs if epochs is not None and epoch >= epochs)
        if late:
            raise ValueError(
                f"`at` must name epochs of this fit, 0 to {epochs - 1}; else nothing would be "
                f"pruned. Received: {late}"
            )
        self._update = None
        if self._hold:
            optimizer = self.model.optimizer
            if not optimizer.built:
                optimizer.build(self.model.trainable_variables)
            scope = FitScope.of(self.model)
            self._hook = UpdateHook.of(optimizer)
            self._update = HoldUpdate([v for v, _ in self._targets], scope.inside)
            self._hook.add(self._update)
            scope.enter(self._end_hold)

    def on_epoch_begin(self, epoch, logs=None):
        if self._first_epoch is not None:
            return
        self._first_epoch = epoch
        pruned_before = any(each < epoch for each in self._epochs)
        if self._hold and pruned_before and not self._update.was_restored(self._hook):
            self._update.hold(self._hook.optimizer)

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self._epochs:
            self.pruned[epoch] = self._rule.apply(self._targets)
            if self._hold:
                self._update.hold(self._hook.optimizer)

    def on_train_end(self, logs=None):
        if not self._epochs:
            self.pruned["end"] = self._rule.apply(self._targets)
        if self._hold:
            FitScope.of(self.model).leave(self._end_hold)

    def _end_hold(self):
        self._hook.remove(self._update)
