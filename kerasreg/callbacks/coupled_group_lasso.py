"""The group lasso over whole units of a model, across layers."""

import keras

from kerasreg._callbacks.session_callback import SessionCallback
from kerasreg._common import validation
from kerasreg._common.types import Logs
from kerasreg._common.warn import warn
from kerasreg._proximal.advice import Deaths
from kerasreg._proximal.coupled_session import CoupledSession, sizes_of_groups


class CoupledGroupLasso(SessionCallback):
    """Applies the group lasso to whole units across layers, with exact zeros.

    The penalty is `factor * sum_g sqrt(P_g) ||w_g||_2`. A group `w_g` contains all weights that
    compute one unit of `kerasreg.coupled_groups`: the columns of all kernels that are added into
    it, their biases, and the gains and offsets of normalizations. `P_g` is the number of these
    weights. When they are zero, the unit is zero everywhere, and `kerasreg.shrink` removes it
    together with the rows that read it. In residual networks, the layers of a stream lose the same
    channels.

    After the optimizer's own update, inside the compiled train step, the proximal operator of the
    penalty is applied to every group, with the optimizer's effective step size of each weight. The
    optimum is that of the loss plus this penalty, and the logged loss contains the penalty. The
    rows that read a unit are not penalised: they are columns of other groups, and the proximal
    operator of the sum is exact only for groups that share no weight. Where groups overlap
    nevertheless (the heads of an attention layer and the sizes of these heads), only the group with
    more weights per unit is penalised (the whole head); the others are listed in `skipped`.

    It can be combined with `ProximalGradient` in the same fit (with L1 on the same weights, the
    result is the sparse group lasso), and with `PenaltySchedule`. After the fit, model and
    optimizer work as before, and the zeros remain.

    Args:
        factor: the factor of the penalty, finite and >= 0.
        include: regular expression, searched in the name of each width and in the paths of the
            variables that compute its units; only widths that match are penalised. Default: all.
        exclude: regular expression, searched in the same way; widths that match are not penalised.

    During and after the fit, `groups` lists the penalised `CoupledGroup`s, `skipped` is
    `{name: reason}` for the others, and `penalties()` returns what each group adds to the loss. A
    warning at the end of an epoch names the widths in which every unit became zero.

    Raises:
        ValueError: for an invalid argument; at the start of `fit`, for a subclassed or unbuilt
            model, an expression that matches nothing, nothing to penalise, or an optimizer whose
            effective step size is unknown.
        RuntimeError: after the first batches, if the model's train step trains penalised weights
            with an optimizer other than that of `compile`.

    Source: Yuan & Lin (2006), "Model Selection and Estimation in Regression with Grouped
    Variables", for the group lasso; Chen et al. (2021), "Only Train Once", and Fang et al. (2023),
    "DepGraph", for groups across layers.

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
        self._sizes: dict[str, tuple[int, int]] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.enter(self._make_session)
        self._look_at_groups()

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
        """The variables that are penalised in the current fit."""
        return self._session.variables

    def penalties(self) -> dict[str, float]:
        """Returns the penalty of every group of the last fit, for the current weights.

        Returns:
            `{name of the group: float}`. The logged loss contains their sum.
        """
        return {} if self._session is None else self._session.penalties()

    def begin_shrinking(self, model: keras.Model) -> None:
        self._sizes = sizes_of_groups(model, "CoupledGroupLasso")

    def enter_model(self) -> None:
        super().enter_model()
        self._look_at_groups()

    def end_shrinking(self) -> None:
        self._sizes = None

    def _look_at_groups(self):
        self.groups, self.skipped = self._session.coupled_groups, self._session.skipped
        groups = self._session.groups
        self._deaths = Deaths([(each.group.name, each.has_weights) for each in groups])

    def _make_session(self, scope):
        self.require_known_variables()
        return CoupledSession(
            *(self.model, self.model.optimizer, self._factor, self._include, self._exclude),
            caller="CoupledGroupLasso",
            scope=scope,
            sizes=self._sizes,
        )
