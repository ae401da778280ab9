"""Non-convex penalties of groups of weights, which do not shrink large groups."""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg.regularizers.base import Penalty, broadcasts, mean_step
from kerasreg.regularizers.group import GroupRegularizer


@keras.saving.register_keras_serializable("kerasreg")
class GroupL0(GroupRegularizer):
    """`factor * (number of non-zero groups)`: makes groups zero without shrinking others.

    Its gradient is zero, so that it has no effect without `ProximalGradient`. The proximal operator
    is hard thresholding (Blumensath & Davies, 2008): a group is unchanged iff `sum_i w_i^2 / (2 *
    step_i) > factor`, and zero otherwise. It is exact also for one step size per weight.

    Args:
        factor: finite float >= 0, the penalty of one non-zero group.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`.

    Example:

    >>> regularizer = kerasreg.regularizers.GroupL0(1.0, axis=-1)
    >>> kernel = np.array([[3.0, 0.5], [4.0, 0.0]])
    >>> float(regularizer(kernel))
    2.0
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).tolist()
    [[3.0, 0.0], [4.0, 0.0]]
    """

    def __init__(self, factor: float = 0.01, axis: Axis = -1, gates: int = 1):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        view, axes = self.groups.layout(weights.shape)
        alive = ops.any(ops.reshape(weights, view) != 0, axis=axes)
        # This term has a zero gradient, and is NaN if a weight is not finite.
        nothing = ops.sum(0.0 * weights)
        return self.factor * (ops.sum(ops.cast(alive, weights.dtype)) + nothing)

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._by_group(operators.group_hard_threshold, weights, self.factor * step)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


class _OfNorms(GroupRegularizer):
    """A penalty that depends on `||w_g||` only. Its proximal operator takes one step per group."""

    def __init__(self, factor, axis, gates):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def step_shape(self, shape):
        view, axes = self.groups.layout(shape)
        return tuple(1 if axis in axes else size for axis, size in enumerate(view))

    def common_step(self, step, shape):
        if broadcasts(step.shape, self.step_shape(shape)):
            return step
        view, axes = self.groups.layout(shape)
        step = ops.reshape(ops.broadcast_to(step, shape), view)
        return mean_step(step, axes) if axes else step

    def expand_step(self, step, shape):
        view, _ = self.groups.layout(shape)
        return ops.reshape(ops.broadcast_to(step, view), shape)

    def with_price_of(self, shape: Shape, smaller: Shape) -> Penalty:
        growth = self._growth(shape, smaller)
        return self if growth == 1 else self._with(factor=self.factor * growth)

    def _price(self, weights):
        """Returns the factor of one group, `factor * sqrt(d_g)`."""
        return self.factor * self._root_size(weights.shape)

    def _along(self, operator, weights, step, shape_parameter):
        """Returns the result of `operator` with one step per group."""
        view, axes = self.groups.layout(weights.shape)
        z, price = ops.reshape(weights, view), self._price(weights)
        return ops.reshape(operator(z, step, price, shape_parameter, axes), weights.shape)


@keras.saving.register_keras_serializable("kerasreg")
class GroupMCP(_OfNorms):
    """The minimax concave penalty of the norms of groups (Zhang, 2010; Huang et al., 2012).

    Makes groups exactly zero like `GroupLasso`, but does not shrink large groups. The penalty is
    `sum_g p(||w_g||_2)` with `l = factor * sqrt(d_g)`, `p(n) = l n - n^2 / (2 gamma)` for
    `n <= gamma * l`, and the constant `p(n) = gamma * l^2 / 2` above. For `gamma` to infinity, it
    approaches `GroupLasso`. The proximal operator scales each group so that its norm is the result
    of `MCP` for its norm. It takes one step size per group: for an optimizer with one per weight,
    `ProximalGradient` uses `common_step`.

    Args:
        factor: finite float >= 0, the regularization factor.
        gamma: finite float > 0. The penalty is constant for norms above `gamma * factor *
            sqrt(d_g)`.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`, and if `gamma` is not positive.

    Example:

    >>> regularizer = kerasreg.regularizers.GroupMCP(1.0, gamma=3.0, axis=-1)
    >>> kernel = np.array([[3.0, 0.1], [4.0, 0.1]])
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(3).tolist()
    [[3.0, 0.0], [4.0, 0.0]]
    """

    def __init__(self, factor: float = 0.01, gamma: float = 3.0, axis: Axis = -1, gates: int = 1):
        super().__init__(factor, axis, gates)
        self.gamma = validation.number(gamma, "gamma", above=0)

    def _value(self, weights):
        norms, price = self._norms(weights), self._price(weights)
        end = self.gamma * price
        inside = ops.where(norms < end, norms, end + 0.0 * norms)
        return ops.sum(price * inside - ops.square(inside) / (2 * self.gamma))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._along(operators.group_mcp, weights, step, self.gamma)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "gamma": self.gamma, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class GroupSCAD(_OfNorms):
    """SCAD, the smoothly clipped absolute deviation, of the norms of groups (Wang et al., 2007).

    Makes groups exactly zero like `GroupLasso`, but does not shrink large groups (Fan & Li, 2001).
    The penalty is `sum_g p(||w_g||_2)` with `l = factor * sqrt(d_g)`, `p(n) = l n` for `n <= l`,
    `p(n) = l n - (n - l)^2 / (2 (a - 1))` for `l < n <= a * l`, and the constant
    `p(n) = (a + 1) l^2 / 2` above. The proximal operator scales each group so that its norm is the
    result of `SCAD` for its norm. It takes one step size per group: for an optimizer with one per
    weight, `ProximalGradient` uses `common_step`.

    Args:
        factor: finite float >= 0, the regularization factor.
        a: finite float > 2. The penalty is constant for norms above `a * factor * sqrt(d_g)`.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`, and if `a` is not greater than 2.

    Example:

    >>> regularizer = kerasreg.regularizers.GroupSCAD(1.0, a=3.0, axis=-1)
    >>> kernel = np.array([[3.0, 0.1], [4.0, 0.1]])
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(3).tolist()
    [[3.0, 0.0], [4.0, 0.0]]
    """

    def __init__(self, factor: float = 0.01, a: float = 3.7, axis: Axis = -1, gates: int = 1):
        super().__init__(factor, axis, gates)
        self.a = validation.number(a, "a", above=2)

    def _value(self, weights):
        norms, price = self._norms(weights), self._price(weights)
        end = self.a * price
        inside = ops.where(norms < end, norms, end + 0.0 * norms)
        bent = ops.where(inside > price, inside - price, ops.zeros_like(inside))
        return ops.sum(price * inside - ops.square(bent) / (2 * (self.a - 1)))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._along(operators.group_scad, weights, step, self.a)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "a": self.a, **super().get_config()}
