"""Penalties of whole groups that leave large groups alone."""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis
from kerasreg.regularizers.base import broadcasts, mean_step
from kerasreg.regularizers.group import GroupRegularizer


@keras.saving.register_keras_serializable("kerasreg")
class GroupL0(GroupRegularizer):
    """`factor * (number of groups that are not zero)`: switches groups off, and shrinks none.

    Only its prox acts: the gradient is zero everywhere, so train with `ProximalGradient`. A group
    stays as it is iff `sum_i w_i^2 / (2 * step_i) > factor`, and is zero otherwise (hard
    thresholding; Blumensath & Davies, 2008). It is exact for one step per weight.

    Args:
        factor: finite and >= 0, the price of one group.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as `GroupLasso`.

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
        # A gradient of zero; NaN where a weight is not finite.
        nothing = ops.sum(0.0 * weights)
        return self.factor * (ops.sum(ops.cast(alive, weights.dtype)) + nothing)

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._by_group(operators.group_hard_threshold, weights, self.factor * step)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


class _OfNorms(GroupRegularizer):
    """A penalty of `||w_g||` alone. Its prox takes one step per group."""

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

    def _price(self, weights):
        """The factor of one group, `factor * sqrt(d_g)`."""
        return self.factor * self._root_size(weights.shape)

    def _along(self, operator, weights, step, shape_parameter):
        """`operator` with one step per group."""
        view, axes = self.groups.layout(weights.shape)
        z, price = ops.reshape(weights, view), self._price(weights)
        return ops.reshape(operator(z, step, price, shape_parameter, axes), weights.shape)


@keras.saving.register_keras_serializable("kerasreg")
class GroupMCP(_OfNorms):
    """The minimax concave penalty of the groups' norms: zeroes whole groups as `GroupLasso` does,
    and leaves large groups alone (Zhang, 2010; Huang et al., 2012).

    `sum_g p(||w_g||_2)` with `l = factor * sqrt(d_g)` and `p(n) = l n - n^2 / (2 gamma)` up to
    `n = gamma * l`, then `gamma * l^2 / 2`, which has no gradient. For a large `gamma` it is
    `GroupLasso`. The prox gives each group the length that `MCP` gives its norm. It takes one step
    per group: an optimizer with one per weight uses `common_step`.

    Args:
        factor: finite and >= 0.
        gamma: finite and > 0; a norm above `gamma * factor * sqrt(d_g)` costs no more.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as `GroupLasso`, and for a `gamma` that is not positive.

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
    """The smoothly clipped absolute deviation of the groups' norms: zeroes whole groups as
    `GroupLasso` does, and leaves large groups alone (Fan & Li, 2001; Wang et al., 2007).

    `sum_g p(||w_g||_2)` with `l = factor * sqrt(d_g)` and `p(n) = l n` up to `n = l`, then
    `l n - (n - l)^2 / (2 (a - 1))` up to `n = a * l`, then `(a + 1) l^2 / 2`, which has no
    gradient. The prox gives each group the length that `SCAD` gives its norm. It takes one step
    per group: an optimizer with one per weight uses `common_step`.

    Args:
        factor: finite and >= 0.
        a: finite and > 2; a norm above `a * factor * sqrt(d_g)` costs no more.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as `GroupLasso`, and for an `a` that is not above 2.

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
