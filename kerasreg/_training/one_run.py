"""The callbacks of one run, while several models are trained one after the other."""

import contextlib

import keras

from kerasreg._callbacks.composites import all_of
from kerasreg._shrinking.training.optimizer_state import extra_state

#: Of these, `set_model` begins anew.
_BEGIN_ANEW = (keras.callbacks.TensorBoard,)


class OneRun(keras.callbacks.CallbackList):
    """A list of callbacks for several calls of `fit`, which sees one run.

    Every callback gets `on_train_begin` and `on_train_end` once. In between, those of kerasreg
    leave the train step of a model and enter that of the next one.

    Args:
        callbacks: those of the user.
        model: the first model.
        verbose, epochs, steps: as `fit` would tell them.
        watch: gets `begin_epoch()`, `end_step(steps)`, `end_epoch(history)`, and tells in
            `decide(epoch)`, after every epoch but the last, whether a smaller model goes on.
    """

    def __init__(self, callbacks, model, verbose, epochs, steps, watch):
        self._epochs, self._watch = epochs, watch
        #: Whether the present fit ends because a smaller model goes on.
        self.is_pausing = False
        #: The epoch with which a smaller model goes on.
        self.next_epoch = 0
        #: What the updates of kerasreg remembered in the optimizer of the model that was left.
        self.state = {}
        #: Callbacks that are not to begin: their `on_train_begin` was called before.
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
        """All callbacks, those inside of others too."""
        return all_of(self.callbacks)

    def begin_shrinking(self, model):
        """Tell the callbacks of kerasreg that models will get smaller."""
        for callback in self._ours("begin_shrinking"):
            callback.begin_shrinking(model)

    def end_shrinking(self):
        """Tell them that this is over."""
        for callback in self._ours("end_shrinking"):
            callback.end_shrinking()

    def go_on_with(self, model):
        """Train another model from the next fit on."""
        if self._has_begun:
            # EarlyStopping may restore the weights of any of them.
            kept = self._models if any(map(_restores, self.every)) else []
            self._models = [*kept, (self.next_epoch, model)]
        else:
            self._models = [(0, model)]
        self._set(model)

    @contextlib.contextmanager
    def final_values_at_the_end(self):
        """Averages of weights take the place of the weights only when the whole run ends."""
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
        """Weights that EarlyStopping restores belong to the model of their epoch."""
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
        """What Keras does beside calling them."""
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
