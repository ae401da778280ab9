"""Penalties of groups of weights: units, filters, input features, attention heads."""

import math
from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg._graph.groups import Groups
from kerasreg._graph.roles import groups_of
from kerasreg.regularizers.at_build import NamedAxis
from kerasreg.regularizers.base import Penalty, Regularizer, absolute, safe_sqrt


class GroupPenalty(NamedAxis, Penalty):
    """A penalty of groups of weights. See `Groups` for `axis` and `gates`."""

    def __init__(self, axis=-1, gates=1):
        self.groups = Groups(axis, gates)

    def for_variable(self, variable, roles):
        if isinstance(self.groups.axis, str):
            groups = groups_of(variable, roles, self.groups.axis)
            config = {**self.get_config(), "axis": groups.axis, "gates": groups.gates}
            return type(self).from_config(config)
        return super().for_variable(variable, roles)

    def get_config(self):
        return {"axis": self.groups.axis, "gates": self.groups.gates}


class GroupRegularizer(GroupPenalty, Regularizer):
    """A penalty of groups of weights with a proximal operator."""

    def _norms(self, weights):
        """Returns `||w_g||` of every group, with a zero gradient at zero."""
        view, axes = self.groups.layout(weights.shape)
        squares = ops.sum(ops.square(ops.reshape(weights, view)), axis=axes)
        return safe_sqrt(squares)

    def _root_size(self, shape):
        """Returns `sqrt(d_g)`."""
        return math.sqrt(self.groups.size(shape))

    def _growth(self, shape, smaller):
        """Returns by what to multiply a factor so that `factor * sqrt(d_g)` stays equal."""
        return self._root_size(shape) / self._root_size(smaller)

    def _with(self, **changes):
        return type(self).from_config({**self.get_config(), **changes})

    def _group_lasso(self, weights):
        return self._root_size(weights.shape) * ops.sum(self._norms(weights))

    def _group_prox(self, weights, threshold):
        threshold = self._root_size(weights.shape) * threshold
        return self._by_group(operators.group_soft_threshold, weights, threshold)

    def _group_prox_from(self, weights, threshold, start):
        threshold = self._root_size(weights.shape) * threshold
        layout = self.groups.layout(weights.shape)
        return operators.in_layout_from(
            operators.group_soft_threshold_from, weights, threshold, start, layout
        )

    def _start_shape(self, shape):
        """Returns the shape of one number per group, or None for a closed form."""
        view, axes = self.groups.layout(shape)
        if self.groups.size(shape) == 1:
            return None
        return tuple(1 if axis in axes else size for axis, size in enumerate(view))

    def _by_group(self, operator, weights, step):
        """Returns `operator(weights, step, axes)`, computed in the layout of the groups."""
        return operators.in_layout(operator, weights, step, self.groups.layout(weights.shape))


@keras.saving.register_keras_serializable("kerasreg")
class GroupLasso(GroupRegularizer):
    """`factor * sum_g sqrt(d_g) ||w_g||_2`: makes groups exactly zero (Yuan & Lin, 2006).

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

    With `kerasreg.attach`, `axis` may also be a name: `"output"`, `"input"` or `"head"`. In an
    argument of a layer, such as `kernel_regularizer=`, a name raises an error when the layer is
    built.

    The proximal operator is exact also for one step size per weight, as with Adam. A group is set
    to zero iff `||w_g / step_g|| <= factor * sqrt(d_g)`.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints (one group per combination of their indices), or a name for
            `kerasreg.attach`.
        gates: int >= 1. The axis consists of this many blocks of equal size, and index j of every
            block belongs to the same group.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis. The message lists the axes of the weights.

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

    def _prox_from(self, weights, step, start):
        return self._group_prox_from(weights, self.factor * step, start)

    def start_shape(self, shape: Shape) -> tuple[Any, ...] | None:
        return self._start_shape(shape) if self.factor else None

    def with_price_of(self, shape: Shape, smaller: Shape) -> Penalty:
        growth = self._growth(shape, smaller)
        return self if growth == 1 else self._with(factor=self.factor * growth)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class SparseGroupLasso(GroupRegularizer):
    """`factor * (l1_ratio * sum(|w|) + (1 - l1_ratio) * sum_g sqrt(d_g) ||w_g||_2)`.

    Makes whole groups zero, and single weights within the other groups (Simon et al., 2013).
    `l1_ratio=1` equals `L1` and `l1_ratio=0` equals `GroupLasso`. The proximal operator is that of
    L1 followed by that of the group lasso. It is exact also for one step size per weight.

    Args:
        factor: finite float >= 0, the regularization factor.
        l1_ratio: float from 0 to 1, the fraction of the L1 term.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`, and if `l1_ratio` is not between 0 and 1.

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

    def _prox_from(self, weights, step, start):
        l1 = self.factor * self.l1_ratio
        if l1:
            weights = operators.soft_threshold(weights, l1 * step)
        return self._group_prox_from(weights, self.factor * (1 - self.l1_ratio) * step, start)

    def start_shape(self, shape: Shape) -> tuple[Any, ...] | None:
        return self._start_shape(shape) if self.factor * (1 - self.l1_ratio) else None

    def with_price_of(self, shape: Shape, smaller: Shape) -> Penalty:
        growth = self._growth(shape, smaller)
        l1, group = self.factor * self.l1_ratio, self.factor * (1 - self.l1_ratio) * growth
        if growth == 1 or not group:
            return self
        return self._with(factor=l1 + group, l1_ratio=l1 / (l1 + group))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "l1_ratio": self.l1_ratio, **super().get_config()}
