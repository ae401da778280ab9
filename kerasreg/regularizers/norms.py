"""Penalties of groups by the maximum norm and by the squared L1 norm."""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis
from kerasreg.regularizers.base import absolute
from kerasreg.regularizers.group import GroupRegularizer


@keras.saving.register_keras_serializable("kerasreg")
class LInfinity1(GroupRegularizer):
    """`factor * sum_g max(|w_g|)`: the L-infinity,1 norm (Quattoni et al., 2009).

    Makes whole groups zero, and the largest weights of each other group equal. The proximal
    operator clips a group at the level `s` with `sum_i max(|w_i| - s, 0) / step_i = factor`. A
    group is set to zero iff `sum_i |w_i| / step_i <= factor`. It is exact also for one step size
    per weight.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`.

    Example:

    >>> regularizer = kerasreg.regularizers.LInfinity1(1.0, axis=-1)
    >>> kernel = np.array([[3.0, 0.5], [2.5, -0.25]])
    >>> float(regularizer(kernel))
    3.5
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(6).tolist()
    [[2.25, 0.0], [2.25, 0.0]]
    """

    def __init__(self, factor: float = 0.01, axis: Axis = -1, gates: int = 1):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        view, axes = self.groups.layout(weights.shape)
        return self.factor * ops.sum(ops.max(ops.reshape(absolute(weights), view), axis=axes))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._by_group(operators.group_clip, weights, self.factor * step)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class ExclusiveLasso(GroupRegularizer):
    """`factor * sum_g (sum |w_g|)^2`: few weights in each group, none empty (Zhou et al., 2010).

    The weights within a group compete: few of them remain non-zero, but no group becomes zero. The
    proximal operator is `sign(w_i) max(|w_i| - 2 * factor * step_i * S, 0)`, where `S` is the L1
    norm of the resulting group (Kong et al., 2014). It is exact also for one step size per weight.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis, gates: the groups, as in `GroupLasso`.

    Raises:
        ValueError: as in `GroupLasso`.

    Example:

    >>> regularizer = kerasreg.regularizers.ExclusiveLasso(0.5, axis=-1)
    >>> kernel = np.array([[3.0, 0.5], [1.0, -0.25]])
    >>> float(regularizer(kernel))
    8.28125
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).tolist()
    [[1.5, 0.25], [0.0, 0.0]]
    """

    def __init__(self, factor: float = 0.01, axis: Axis = -1, gates: int = 1):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        view, axes = self.groups.layout(weights.shape)
        sums = ops.sum(ops.reshape(absolute(weights), view), axis=axes)
        return self.factor * ops.sum(ops.square(sums))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return self._by_group(operators.exclusive_threshold, weights, self.factor * step)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}
