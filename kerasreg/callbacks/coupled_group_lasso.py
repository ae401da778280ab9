"""Training that makes whole units of a model zero, wherever their weights are."""

import keras

from kerasreg._callbacks.session_callback import SessionCallback
from kerasreg._common import validation
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._proximal.advice import Deaths
from kerasreg._proximal.coupled_session import CoupledSession


class CoupledGroupLasso(SessionCallback):
    """Train with `factor * sum_g sqrt(P_g) ||w_g||_2` over whole units, to exact zeros.

    A group `w_g` is all that computes one unit of `kerasreg.coupled_groups`: the columns of all
    kernels that are added into it, their biases, and the gains and offsets of normalizations;
    `P_g` is the number of these weights. When they are zero, the unit is zero everywhere, and
    `kerasreg.shrink` removes it, with the rows that read it: in residual networks too, where the
    layers of a stream lose the same channels.

    After the optimizer's own update, inside of the compiled step, every group gets its prox, with
    one step per weight: the effective one of the optimizer. The optimum is that of the loss with
    this penalty, and the logged loss contains it. The rows that read a unit are not penalised: they
    are columns of other groups, and only for groups without a common weight the prox of the sum is
    exact. Where groups overlap all the same (the heads of an attention and their sizes), the one
    with more weights per unit counts (whole heads); the others are in `skipped`.

    It goes with `ProximalGradient` in the same fit: L1 on the same weights is then the sparse group
    lasso; and with `PenaltySchedule`. Model and optimizer are as before when the fit is over, and
    the zeros stay.

    Args:
        factor: of the penalty, finite and >= 0.
        include: regular expression; a width is penalised if it is found in its name or in the path
            of a variable that computes its units. Default: all.
        exclude: regular expression of those that are not, in the same way.

    During and after the fit, `groups` lists the `CoupledGroup`s that are penalised, `skipped` is
    `{name: why not}`, and `penalties()` tells what each of them adds to the loss. Widths of which
    every unit became zero are warned about at the end of the epoch.

    Raises:
        ValueError: for a bad factor; at the start of `fit`, for a subclassed or unbuilt model, an
            expression that matches nothing, nothing to penalise, or an optimizer whose step is
            unknown.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with another optimizer than that of `compile`.

    Source: Yuan & Lin (2006), the group lasso; Chen et al. (2021), "Only Train Once", and Fang et
    al. (2023), "DepGraph", groups across layers.

    Example:

    >>> x = keras.Input((4,))
    >>> y = keras.layers.Dense(8, "relu", name="a")(x)
    >>> y = keras.layers.Add()([y, keras.layers.Dense(8, name="b")(y)])
    >>> model = keras.Model(x, keras.layers.Dense(1, name="c")(y))
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> data = np.random.default_rng(0).normal(size=(64, 4))
    >>> lasso = kerasreg.callbacks.CoupledGroupLasso(0.05)
    >>> _ = model.fit(data, data[:, :1], epochs=50, verbose=0, callbacks=[lasso])
    >>> small, report = kerasreg.shrink(model)
    >>> small.get_layer("a").units == small.get_layer("b").units < 8
    True
    """

    def __init__(
        self, factor: float = 1e-3, include: str | None = None, exclude: str | None = None
    ):
        super().__init__()
        self._factor = validation.number(factor, "factor", at_least=0)
        self._include = validation.expression(include, "include")
        self._exclude = validation.expression(exclude, "exclude")
        self.groups: list = []
        self.skipped: dict[str, str] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self.enter(self._make_session)
        self.groups, self.skipped = self._session.coupled_groups, self._session.skipped
        groups = self._session.groups
        self._deaths = Deaths([(each.group.name, each.has_weights) for each in groups])

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.start_once()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.check()
        deaths = self._deaths.since_last(epoch)
        if deaths is not None:
            warn(deaths)
        self.warn_of_nonfinite(epoch)

    def on_train_end(self, logs: Logs = None) -> None:
        self.leave()

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that are penalised in the present fit."""
        return self._session.variables

    def penalties(self) -> dict[str, float]:
        """The penalty of every group of the last fit, for the weights as they are.

        Returns:
            `{name of the group: float}`. The logged loss contains their sum.
        """
        return {} if self._session is None else self._session.penalties()

    def _make_session(self, scope):
        self.require_known_variables()
        return CoupledSession(
            *(self.model, self.model.optimizer, self._factor, self._include, self._exclude),
            caller="CoupledGroupLasso",
            scope=scope,
        )
