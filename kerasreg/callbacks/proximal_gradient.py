"""Exact zeros from the penalties that a model already has."""

import warnings

import keras

from kerasreg.advice import Deaths, advice
from kerasreg.proximal.training import ProximalTraining
from kerasreg.statistics import nonfinite_paths
from kerasreg.train_step import FitScope, UpdateHook


class ProximalGradient(keras.callbacks.Callback):
    """Train the penalties of this `fit` by their prox, so that zeros are exact.

    After the optimizer's own update `z`, every weight with a regularizer becomes
    `argmin_x  penalty(x) + sum_i (x_i - z_i)^2 / (2 t_i)`, with `t` the effective step of the
    optimizer. The optimum is that of the loss with the penalty as written, for SGD (momentum,
    Nesterov), Adam (AMSGrad), AdamW, Adamax, Nadam, Adagrad and RMSprop. The reported loss still
    contains the penalty; its gradient is left to the prox. It runs inside of the compiled step.

    It serves `kerasreg.regularizers` and Keras' `L1`, `L2` and `L1L2`. Other regularizers keep
    their gradient. When the fit is over, model and optimizer are as before. Checkpoints that are
    written meanwhile open in stock Keras, with the state of the optimizer. Weights that become
    NaN or infinite are warned about at the end of the epoch, and so are layers that become zero as
    a whole. Penalties that cannot do what they are for are warned about at the start: those that
    the layers behind can make up for, and those of biases.

    Raises:
        ValueError: at the start of `fit`, for a model that is not built, without a regularizer
            that has a prox, with an axis that its weights do not have, or with an optimizer whose
            step is unknown.
        RuntimeError: at the end of the first epoch, if the model's train step does not apply the
            optimizer that it was compiled with.

    Example:

    >>> layer = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L1(10.0))
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile(keras.optimizers.SGD(0.01), "mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> _ = model.fit(x, y, epochs=50, verbose=0, callbacks=[kerasreg.callbacks.ProximalGradient()])
    >>> np.asarray(layer.kernel).tolist()
    [[0.0], [0.0]]
    """

    async_safe = True

    def __init__(self):
        super().__init__()
        self._training = None
        self._started = False

    def set_model(self, model):
        super().set_model(model)
        # Before any `on_train_begin`: BackupAndRestore may load our state there, in any order.
        if getattr(model, "optimizer", None) is not None:
            UpdateHook.of(model.optimizer)

    def on_train_begin(self, logs=None):
        scope = FitScope.of(self.model)
        try:
            self._training = ProximalTraining(
                self.model, self.model.optimizer, "ProximalGradient", scope.inside
            )
        except ValueError:
            scope.release()
            self._release_unused()
            raise
        self._started = False
        self._training.on()
        scope.enter(self._training.off)
        self._deaths = Deaths(self._training.variables)
        _warn(advice(self.model))

    def on_epoch_begin(self, epoch, logs=None):
        if not self._started:
            self._training.start()
            self._started = True

    def on_epoch_end(self, epoch, logs=None):
        self._training.require_steps()
        _warn(self._deaths.since_last(epoch))
        broken = nonfinite_paths(self._training.variables)
        if broken:
            warnings.warn(
                f"NaN or infinite weights after epoch {epoch + 1} in {broken}. Lower the learning "
                "rate, clip gradients (`clipnorm`), or restore an earlier checkpoint.",
                RuntimeWarning,
                stacklevel=2,
            )

    def on_train_end(self, logs=None):
        FitScope.of(self.model).leave(self._training.off)

    def on_test_end(self, logs=None):
        self._release_unused()

    def on_predict_end(self, logs=None):
        self._release_unused()

    def _release_unused(self):
        # `evaluate` and `predict` take callbacks too, and train nothing.
        if getattr(self.model, "optimizer", None) is not None:
            UpdateHook.of(self.model.optimizer).release()


def _warn(text):
    if text is not None:
        warnings.warn(text, UserWarning, stacklevel=3)
