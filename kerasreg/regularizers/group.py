"""Penalties of whole groups of weights: units, filters, input features, heads."""

import math
from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis
from kerasreg._graph.groups import Groups
from kerasreg._graph.roles import groups_of
from kerasreg.regularizers.at_build import frame_of_add_weight
from kerasreg.regularizers.base import Penalty, Regularizer, absolute, safe_sqrt


class GroupPenalty(Penalty):
    """A penalty of groups; `axis` and `gates` are those of `Groups`."""

    def __init__(self, axis=-1, gates=1):
        self.groups = Groups(axis, gates)

    @property  # type: ignore[misc]
    def __class__(self):
        groups = vars(self).get("groups")
        if groups is not None and isinstance(groups.axis, str):
            self._refuse_layer()
        return type(self)

    def _refuse_layer(self):
        """Raise where a layer that is being built has been given this penalty."""
        frame = frame_of_add_weight(self)
        if frame is not None:
            layer, name, shape = (frame.f_locals[key] for key in ("self", "name", "shape"))
            shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
            self.check(shape, f"'{layer.name}/{name}'")

    def check(self, shape, name="weights"):
        self.groups.check(shape, name)

    def for_variable(self, variable, roles):
        if isinstance(self.groups.axis, str):
            groups = groups_of(variable, roles, self.groups.axis)
            config = {**self.get_config(), "axis": groups.axis, "gates": groups.gates}
            return type(self).from_config(config)
        return super().for_variable(variable, roles)

    def get_config(self):
        return {"axis": self.groups.axis, "gates": self.groups.gates}


class GroupRegularizer(GroupPenalty, Regularizer):
    """A penalty of groups with a prox."""

    def _norms(self, weights):
        """`||w_g||` of every group, with a zero gradient at zero."""
        view, axes = self.groups.layout(weights.shape)
        squares = ops.sum(ops.square(ops.reshape(weights, view)), axis=axes)
        return safe_sqrt(squares)

    def _root_size(self, shape):
        """`sqrt(d_g)`."""
        return math.sqrt(self.groups.size(shape))

    def _group_lasso(self, weights):
        return self._root_size(weights.shape) * ops.sum(self._norms(weights))

    def _group_prox(self, weights, threshold):
        threshold = self._root_size(weights.shape) * threshold
        return self._by_group(operators.group_soft_threshold, weights, threshold)

    def _by_group(self, operator, weights, step):
        """`operator(weights, step, axes)`."""
        return operators.in_layout(operator, weights, step, self.groups.layout(weights.shape))


@keras.saving.register_keras_serializable("kerasreg")
class GroupLasso(GroupRegularizer):
    """`factor * sum_g sqrt(d_g) ||w_g||_2`: makes whole groups exactly zero (Yuan & Lin, 2006).

    There is one group per index of `axis`, and `d_g` is the number of weights in it.

    | kernel | one group per | axis |
    |---|---|---|
    | Dense `(input, output)` | unit / input feature | -1 / 0 |
    | Conv `(*window, input, output)` | filter / input channel | -1 / -2 |
    | Conv Transpose `(*window, output, input)` | filter / input channel | -2 / -1 |
    | Depthwise Conv `(*window, input, multiplier)` | input channel | -2 |
    | Separable Conv | `pointwise_kernel` filter / `depthwise_kernel` channel | -1 / -2 |
    | Embedding `(tokens, features)` | feature / token | -1 / 0 |
    | attention query, key, value `(input, heads, size)` | head | 1 |
    | attention output `(heads, size, output)` | head | 0 |
    | SimpleRNN, GRU, LSTM `(input, gates * units)` | unit of every gate | -1 with gates=1, 3, 4 |

    With `kerasreg.attach`, which knows the layer, `axis` may be a name instead: `"output"`,
    `"input"` or `"head"`. As an argument of a layer, a name is an error when the layer is built.

    The prox is exact for one step per weight too, as Adam needs: a group is zero iff
    `||w_g / step_g|| <= factor * sqrt(d_g)`.

    Args:
        factor: finite and >= 0.
        axis: int, tuple of ints (one group per combination of their indices), or a name.
        gates: the axis holds this many equal blocks, and index j of every block belongs to the
            same group.

    Raises:
        ValueError: for a bad factor or axis, and, when it meets the weights, for an axis that
            they do not have. The message lists those that they have.

    Example:

    >>> regularizer = kerasreg.regularizers.GroupLasso(1.0, axis=-1)
    >>> kernel = np.array([[3.0, 0.1], [4.0, 0.1]])
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(3).tolist()
    [[2.151, 0.0], [2.869, 0.0]]
    """

    def __init__(self, factor: float = 0.01, axis: Axis = -1, gates: int = 1):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        return self.factor * self._group_lasso(weights)

    def _prox(self, weights, step):
        return self._group_prox(weights, self.factor * step) if self.factor else weights

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class SparseGroupLasso(GroupRegularizer):
    """`factor * (l1_ratio * sum(|w|) + (1 - l1_ratio) * sum_g sqrt(d_g) ||w_g||_2)`.

    Makes whole groups zero, and single weights in the groups that stay (Simon et al., 2013).
    `l1_ratio=1` is `L1`, `l1_ratio=0` is `GroupLasso`. The prox is that of L1, then that of the
    group lasso; it is exact for one step per weight too.

    Args:
        factor: finite and >= 0.
        l1_ratio: the fraction of the L1 term, from 0 to 1.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as `GroupLasso`, and for an `l1_ratio` outside of 0 to 1.

    Example:

    >>> regularizer = kerasreg.regularizers.SparseGroupLasso(1.0, l1_ratio=0.5, axis=-1)
    >>> kernel = np.array([[3.0, 0.1], [0.2, 0.1]])
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(3).tolist()
    [[1.793, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self, factor: float = 0.01, l1_ratio: float = 0.5, axis: Axis = -1, gates: int = 1
    ):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)
        self.l1_ratio = validation.number(l1_ratio, "l1_ratio", at_least=0, at_most=1)

    def _value(self, weights):
        l1 = self.l1_ratio * ops.sum(absolute(weights))
        return self.factor * (l1 + (1 - self.l1_ratio) * self._group_lasso(weights))

    def _prox(self, weights, step):
        l1 = self.factor * self.l1_ratio
        group = self.factor * (1 - self.l1_ratio)
        if l1:
            weights = operators.soft_threshold(weights, l1 * step)
        return self._group_prox(weights, group * step) if group else weights

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "l1_ratio": self.l1_ratio, **super().get_config()}
