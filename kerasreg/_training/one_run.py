"""The list of callbacks of one run in which several models are trained in turn."""

import contextlib

import keras

from kerasreg._callbacks.composites import all_of
from kerasreg._shrinking.training.optimizer_state import extra_state

#: Callbacks whose `set_model` would start a new log.
_BEGIN_ANEW = (keras.callbacks.TensorBoard,)


class OneRun(keras.callbacks.CallbackList):
    """A list of callbacks that presents several calls of `fit` as one run.

    `on_train_begin` and `on_train_end` of each callback are called once. Between two calls of
    `fit`, the callbacks of kerasreg leave the train step of one model and enter that of the next.

    Args:
        callbacks: the callbacks of the user.
        model: the first model.
        verbose, epochs, steps: the values that `fit` passes to its `CallbackList`.
        watch: object whose methods `begin_epoch()`, `end_step(steps)` and `end_epoch(history)` are
            called during training. `decide(epoch)` is called after every epoch but the last, and
            returns whether training continues with a smaller model.
    """

    def __init__(self, callbacks, model, verbose, epochs, steps, watch):
        self._epochs, self._watch = epochs, watch
        #: Whether the current `fit` ends because training continues with a smaller model.
        self.is_pausing = False
        #: The first epoch of the smaller model.
        self.next_epoch = 0
        #: The `extra_state` of the optimizer of the previous model.
        self.state = {}
        #: Callbacks whose `on_train_begin` was already called.
        self.begun = []
        self._models, self._has_begun = [(0, model)], False
        super().__init__(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )

    @property
    def history(self):
        """The `History` of the run."""
        return self._history

    @property
    def every(self):
        """All callbacks, including those inside other callbacks."""
        return all_of(self.callbacks)

    def begin_shrinking(self, model):
        """Calls `begin_shrinking` of the callbacks of kerasreg."""
        for callback in self._ours("begin_shrinking"):
            callback.begin_shrinking(model)

    def end_shrinking(self):
        """Calls `end_shrinking` of the callbacks of kerasreg."""
        for callback in self._ours("end_shrinking"):
            callback.end_shrinking()

    def go_on_with(self, model):
        """Sets the model of the next call of `fit`."""
        if self._has_begun:
            # `EarlyStopping` may restore the weights of any of these models.
            kept = self._models if any(map(_restores, self.every)) else []
            self._models = [*kept, (self.next_epoch, model)]
        else:
            self._models = [(0, model)]
        self._set(model)

    @contextlib.contextmanager
    def final_values_at_the_end(self):
        """Delays the replacement of weights by their averages to the end of the run.

        Keras calls `finalize_variable_values` of the optimizer at the end of every `fit`.
        """
        optimizer = self.model.optimizer
        finalize = optimizer.finalize_variable_values

        def finalize_at_the_end(variables):
            if not self.is_pausing:
                finalize(variables)

        optimizer.__dict__["finalize_variable_values"] = finalize_at_the_end
        try:
            yield
        finally:
            optimizer.__dict__.pop("finalize_variable_values", None)

    def on_train_begin(self, logs=None):
        if self._has_begun:
            self.is_pausing = False
            self._without_callbacks(super().on_train_begin, logs)
            for callback in self._ours("enter_model"):
                callback.enter_model()
            return
        self._has_begun = True
        for each in self.begun:
            each.__dict__["on_train_begin"] = _nothing
        try:
            super().on_train_begin(logs)
        finally:
            for each in self.begun:
                del each.__dict__["on_train_begin"]

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._watch.begin_epoch()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._watch.end_step(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._watch.end_epoch(self.history.history)
        is_last = self.model.stop_training or epoch + 1 >= self._epochs
        if not is_last and self._watch.decide(epoch):
            self.is_pausing, self.next_epoch = True, epoch + 1
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.is_pausing:
            self._without_callbacks(super().on_train_end, logs)
            self.state = extra_state(self.model.optimizer)
            for callback in self._ours("leave_model"):
                callback.leave_model()
            return
        self._set_model_to_restore()
        super().on_train_end(logs)

    def _set_model_to_restore(self):
        """Sets the model of the best epoch, into which `EarlyStopping` restores its weights."""
        for callback in filter(_restores, self.every):
            if callback.best_weights is not None:
                model = [each for begin, each in self._models if begin <= callback.best_epoch][-1]
                if model is not self.model:
                    self._set(model)
                    for each in self._ours("set_restored_model"):
                        each.set_restored_model()

    def _set(self, model):
        keras.callbacks.Callback.set_model(self, model)
        model.history = self.history
        for callback in self.callbacks:
            if isinstance(callback, _BEGIN_ANEW):
                keras.callbacks.Callback.set_model(callback, model)
            else:
                callback.set_model(model)

    def _without_callbacks(self, method, logs):
        """Calls a method of `CallbackList` without calling the callbacks."""
        callbacks, self.callbacks = self.callbacks, []
        try:
            method(logs)
        finally:
            self.callbacks = callbacks

    def _ours(self, name):
        return [each for each in self.every if hasattr(each, name)]


def _restores(callback):
    return isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights


def _nothing(logs=None):
    pass
