"""Exact zeros from the penalties that a model already has."""

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
    """Train the penalties of this `fit` by their prox, so that zeros are exact.

    After the optimizer's own update `z`, every weight with a regularizer becomes
    `argmin_x  penalty(x) + sum_i (x_i - z_i)^2 / (2 t_i)`, with `t` the effective step of the
    optimizer. The optimum is that of the loss with the penalty as written, for every optimizer of
    Keras but Ftrl and ScheduleFreeAdamW (and Muon, which comes near). The reported loss still
    contains the penalty; its gradient is left to the prox. It runs inside of the compiled step.

    It serves `kerasreg.regularizers` and Keras' `L1`, `L2` and `L1L2`, and the projections of
    `kerasreg.constraints`. Other regularizers keep their gradient. When the fit is over, model and
    optimizer are as before. Checkpoints that are written meanwhile open in stock Keras, with the
    state of the optimizer. Weights that become NaN or infinite are warned about at the end of the
    epoch, and so are layers that become zero as a whole. Penalties that cannot do what they are for
    are warned about at the start: those that the layers behind can make up for, and those of
    biases.

    Args:
        polish: a dict of arguments of `kerasreg.polish` (besides the model), such as
            `{"x": x_train, "y": y_train}`: at the end of `fit`, a few steps with the gradient of
            all of this data clear the false non-zeros of mini-batch noise. Where a schedule or a
            callback has lowered the learning rate to 0, an earlier one is taken. Polishing that
            fails is a warning, so that `fit` returns its History.

    Raises:
        ValueError: for a `polish` that is no such dict, or that `kerasreg.polish` would refuse
            (known at the start of `fit`); at the start of `fit`, for a model that is
            not built, without a regularizer that has a prox, with an axis that its weights do not
            have, or with an optimizer whose step is unknown.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with another optimizer than that of `compile`.

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
        #: What polishing did in the last fit: what `kerasreg.polish` returns, or None.
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
    is_dict = isinstance(arguments, dict)
    if not is_dict or "x" not in arguments or not set(arguments) <= set(allowed):
        received = list(arguments) if is_dict else arguments
        raise ValueError(
            "`polish` must be a dict of arguments of `kerasreg.polish` with at least `x`; possible "
            f"are {allowed}. Received: {received!r}"
        )
    return dict(arguments)
