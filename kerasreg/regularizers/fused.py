"""Penalties of differences between neighbouring weights: total variation and fused lasso."""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg._graph.groups import Groups
from kerasreg.regularizers.base import Regularizer, absolute


@keras.saving.register_keras_serializable("kerasreg")
class TotalVariation(Regularizer):
    """`factor * sum(|w_{i+1} - w_i|)` along an axis: piecewise constant (Rudin et al., 1992).

    For kernels whose input is ordered, such as a signal, a spectrum or a time series. The weights
    become piecewise constant, with few jumps. Each line along `axis` is penalized separately. The
    proximal operator, computed by divide and conquer, is exact also for one step size per weight.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, the axis along which differences are taken.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis.

    Example:

    >>> regularizer = kerasreg.regularizers.TotalVariation(0.5, axis=0)
    >>> float(regularizer(np.array([1.0, 3.0, 2.0])))
    1.5
    >>> np.asarray(regularizer.prox(np.array([0.0, 1.0, 7.0, 8.0]), step=2.0)).tolist()
    [1.0, 1.0, 7.0, 7.0]
    """

    is_fusible = False

    def __init__(self, factor: float = 0.01, axis: Axis = 0):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.axis = validate_single_axis(axis)

    def check(self, shape: Shape, name: str = "weights") -> None:
        Groups(self.axis).check(shape, name)

    def _value(self, weights):
        return self.factor * variation(weights, self.axis)

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.fused_threshold(weights, self.factor * step, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "axis": self.axis}


@keras.saving.register_keras_serializable("kerasreg")
class FusedLasso(Regularizer):
    """`factor * (l1_ratio * sum(|w|) + (1 - l1_ratio) * sum(|w_{i+1} - w_i|))`.

    Sparse and piecewise constant weights (Tibshirani et al., 2005). `l1_ratio=1` equals `L1` and
    `l1_ratio=0` equals `TotalVariation`. The proximal operator is exact also for one step size per
    weight. For a single step size, it is that of the total variation followed by that of L1.

    Args:
        factor: finite float >= 0, the regularization factor.
        l1_ratio: float from 0 to 1, the fraction of the L1 term.
        axis: int, the axis along which differences are taken.

    Raises:
        ValueError: as in `TotalVariation`, and if `l1_ratio` is not between 0 and 1.

    Example:

    >>> regularizer = kerasreg.regularizers.FusedLasso(1.0, l1_ratio=0.5, axis=0)
    >>> np.asarray(regularizer.prox(np.array([0.5, -0.5, 7.0, 8.0]), step=2.0)).tolist()
    [0.0, 0.0, 6.0, 6.0]
    """

    is_fusible = False

    def __init__(self, factor: float = 0.01, l1_ratio: float = 0.5, axis: Axis = 0):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.l1_ratio = validation.number(l1_ratio, "l1_ratio", at_least=0, at_most=1)
        self.axis = validate_single_axis(axis)

    def check(self, shape: Shape, name: str = "weights") -> None:
        Groups(self.axis).check(shape, name)

    def _value(self, weights):
        l1 = self.l1_ratio * ops.sum(absolute(weights))
        return self.factor * (l1 + (1 - self.l1_ratio) * variation(weights, self.axis))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        fused = 1 - self.l1_ratio
        if not fused:
            return operators.soft_threshold(weights, self.factor * step)
        threshold = self.factor * fused * step
        return operators.fused_threshold(weights, threshold, self.l1_ratio / fused, self.axis)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "l1_ratio": self.l1_ratio, "axis": self.axis}


def variation(weights, axis):
    """Returns `sum(|w_{i+1} - w_i|)` along one axis."""
    lines = ops.moveaxis(weights, axis, 0)
    return ops.sum(absolute(lines[1:] - lines[:-1]))


def validate_single_axis(axis):
    """Returns `axis` as a Python int."""
    return validation.integer(axis, "axis", meaning="the axis along which differences are taken")
