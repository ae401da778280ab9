"""Penalties of neighbours: weights along an axis become equal."""

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
    """`factor * sum(|w_{i+1} - w_i|)` along an axis: equal neighbours (Rudin et al., 1992).

    For kernels whose input is a signal, a spectrum or a series: the weights become piecewise
    constant, with few jumps. Each line along `axis` is on its own. The prox is exact for one step
    per weight too: divide and conquer on the values of the blocks.

    Args:
        factor: finite and >= 0.
        axis: int, the axis along which neighbours are.

    Raises:
        ValueError: for a bad factor or axis, and, when it meets the weights, for an axis that
            they do not have.

    Example:

    >>> regularizer = kerasreg.regularizers.TotalVariation(0.5, axis=0)
    >>> float(regularizer(np.array([1.0, 3.0, 2.0])))
    1.5
    >>> np.asarray(regularizer.prox(np.array([0.0, 1.0, 7.0, 8.0]), step=2.0)).tolist()
    [1.0, 1.0, 7.0, 7.0]
    """

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

    Few weights that are not zero, and neighbours that are equal (Tibshirani et al., 2005).
    `l1_ratio=1` is `L1`, `l1_ratio=0` is `TotalVariation`. The prox is exact for one step per
    weight too; with one for all it is that of the total variation, then that of L1.

    Args:
        factor: finite and >= 0.
        l1_ratio: the fraction of the L1 term, from 0 to 1.
        axis: int, the axis along which neighbours are.

    Raises:
        ValueError: as `TotalVariation`, and for an `l1_ratio` outside of 0 to 1.

    Example:

    >>> regularizer = kerasreg.regularizers.FusedLasso(1.0, l1_ratio=0.5, axis=0)
    >>> np.asarray(regularizer.prox(np.array([0.5, -0.5, 7.0, 8.0]), step=2.0)).tolist()
    [0.0, 0.0, 6.0, 6.0]
    """

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
    """`sum(|w_{i+1} - w_i|)` along one axis."""
    lines = ops.moveaxis(weights, axis, 0)
    return ops.sum(absolute(lines[1:] - lines[:-1]))


def validate_single_axis(axis):
    """`axis` as the plain int it is."""
    return validation.integer(axis, "axis", meaning="the axis along which neighbours are")
