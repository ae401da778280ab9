"""Proximal training of the penalties that a model already has."""

import inspect
from collections.abc import Mapping
from typing import Any

from kerasreg._callbacks.behaviour import restores_weights
from kerasreg._callbacks.session_callback import SessionCallback, ending
from kerasreg._callbacks.siblings import put_off
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._proximal.advice import Deaths, advice
from kerasreg._proximal.polish import Polishing, polish
from kerasreg._proximal.rates import positive_rates
from kerasreg._proximal.session import ProximalSession


class ProximalGradient(SessionCallback):
    """Applies the penalties of a model by proximal gradient steps, with exact zeros.

    After the optimizer's own update `z`, every weight `x` with a regularizer becomes
    `argmin_x  penalty(x) + sum_i (x_i - z_i)^2 / (2 t_i)`, where `t` is the effective step size of
    the optimizer for each weight. The proximal operator replaces the gradient of the penalty; the
    logged loss still contains the penalty. All of this runs inside the compiled train step.

    The optimum is that of the loss with the penalty as written, for all optimizers of Keras except
    Ftrl and ScheduleFreeAdamW; with Muon, it is approximate.

    It handles `kerasreg.regularizers`, Keras' `L1`, `L2` and `L1L2`, and the projections of
    `kerasreg.constraints`. Other regularizers keep their gradient. After the fit, model and
    optimizer work as before. Checkpoints written during the fit open in stock Keras, including the
    state of the optimizer.

    It warns at the start of `fit` about ineffective penalties: those that later layers can
    compensate for by larger weights, and those of biases. It warns at the end of an epoch about NaN
    or infinite weights, and about layers in which all weights became zero.

    Args:
        polish: a dict of arguments of `kerasreg.polish` (besides the model), such as
            `{"x": x_train, "y": y_train}`. At the end of `fit`, a few steps with the gradient over
            all of this data then remove small non-zeros that are due to mini-batch noise. Where a
            schedule or a callback has lowered the learning rate to 0, an earlier positive learning
            rate is used. If polishing fails, a warning says so, and `fit` still returns its
            History.

    Raises:
        ValueError: if `polish` is not such a dict; at the start of `fit`, if `kerasreg.polish`
            would raise for it, for a model that is not built or has no regularizer with a proximal
            operator, for an axis that a weight does not have, or for an optimizer whose effective
            step size is unknown.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with an optimizer other than that of `compile`.

    Source: Parikh & Boyd (2014), "Proximal Algorithms".

    Example:

    >>> layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer="l1")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> x, y = np.array([[1.0, 1.0], [1.0, -1.0]]), np.ones((2, 1))
    >>> _ = model.fit(x, y, epochs=50, verbose=0, callbacks=[kerasreg.callbacks.ProximalGradient()])
    >>> (np.asarray(layer.kernel) == 0).tolist()
    [[False], [True]]
    """

    async_safe = True

    def __init__(self, polish: Mapping[str, Any] | None = None):
        super().__init__()
        self._polish = _validate_polish(polish)
        #: The result of `kerasreg.polish` at the end of the last fit, or None.
        self.polished = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.polished = None
        self._rates: dict = {}
        self.enter(self._make_session)
        self._deaths = Deaths.of_variables(self._session.variables)
        _warn(advice(self.model))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.start_once()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self._polish is not None:
            self._rates |= positive_rates(self.model.optimizer)
        self.check()
        _warn(self._deaths.since_last(epoch))
        self.warn_of_nonfinite(epoch)

    def on_train_end(self, logs: Logs = None) -> None:
        if self._polish is not None and put_off(self, until=restores_weights):
            return
        self.leave()
        if self._polish is not None:
            with ending(self, "polish"):
                self.polished = self._polishing().run(self._rates)

    def enter_model(self) -> None:
        super().enter_model()
        self._deaths = Deaths.of_variables(self._session.variables)

    def _make_session(self, scope):
        self.require_known_variables()
        session = ProximalSession(self.model, self.model.optimizer, "ProximalGradient", scope)
        if self._polish is not None:
            self._polishing()
        return session

    def _polishing(self):
        given = inspect.signature(polish).bind(self.model, **self._polish)
        given.apply_defaults()
        given = given.arguments
        data = (given["x"], given["y"], given["sample_weight"], given["batch_size"])
        return Polishing(
            self.model, data, given["epochs"], given["debias_epochs"], given["learning_rate"]
        )


def _warn(text):
    if text is not None:
        warn(text)


def _validate_polish(arguments):
    if arguments is None:
        return None
    allowed = list(inspect.signature(polish).parameters)[1:]
    is_dict = isinstance(arguments, Mapping)
    if not is_dict or "x" not in arguments or not set(arguments) <= set(allowed):
        received = list(arguments) if is_dict else arguments
        raise ValueError(
            "`polish` must be a dict of arguments of `kerasreg.polish` that contains `x`; the "
            f"allowed keys are {allowed}. Received: polish={received!r}"
        )
    return dict(arguments)
