"""L1 with one factor per weight: the adaptive lasso."""

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg.regularizers.anchored import Anchored
from kerasreg.regularizers.arrays import PackedArray, array_argument, unpacked
from kerasreg.regularizers.base import absolute

#: Lower bound of the absolute pilot weights.
TINY = 1e-8


@keras.saving.register_keras_serializable("kerasreg")
class WeightedL1(Anchored):
    """`l1 * sum(weights * |w|)`: L1 with one factor per weight (adaptive lasso; Zou, 2006).

    The factors are either given, or `1 / max(|pilot|, 1e-8)^gamma`: weights that are small in a
    pilot model, which was trained without this penalty, are penalized more. `kerasreg.attach` takes
    the current weights of the model as the pilot. With `weights` of ones, it equals `L1`. The
    proximal operator is soft thresholding with the threshold `l1 * step * weights`.

    Args:
        l1: finite float >= 0, the regularization factor.
        weights: finite array >= 0 of the shape of the weights.
        pilot: finite array of the shape of the weights, instead of `weights`. Pass neither of them
            if `kerasreg.attach` is to take the weights of the model.
        gamma: finite float > 0, the exponent of the pilot.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the array is
            missing or has another shape than the weights.

    Example:

    >>> regularizer = kerasreg.regularizers.WeightedL1(0.5, pilot=np.array([2.0, 0.5]))
    >>> float(regularizer(np.array([3.0, 1.0])))
    1.75
    >>> np.asarray(regularizer.prox(np.array([3.0, 1.0]), step=1.0)).tolist()
    [2.75, 0.0]
    """

    _argument = "pilot"

    def __init__(
        self, l1: float = 0.01, weights: Tensor = None, pilot: Tensor = None, gamma: float = 1.0
    ):
        self.l1 = validation.number(l1, "l1", at_least=0)
        self.gamma = validation.number(gamma, "gamma", above=0)
        self.weights = array_argument(weights, "weights")
        self.pilot = array_argument(pilot, "pilot")
        if self.weights is not None and self.pilot is not None:
            raise ValueError(
                "Pass `weights` or `pilot`, not both. Received: both, of shapes "
                f"{self.weights.shape} and {self.pilot.shape}"
            )
        if not any(isinstance(each, PackedArray) for each in (self.weights, self.pilot)):
            _ = self._array  # Validates the values.

    @functools.cached_property
    def _array(self):
        if self.pilot is not None:
            return _adaptive(unpacked(self.pilot), self.gamma)
        weights = unpacked(self.weights)
        if weights is not None and (weights < 0).any():
            raise ValueError(
                f"`weights` must not be negative. Received: weights with minimum {weights.min()}"
            )
        return weights

    def _given(self):
        return self.pilot if self.weights is None else self.weights

    def for_part(self, moved: Callable, cut: Callable) -> "WeightedL1":
        if self.weights is None:
            return super().for_part(moved, cut)
        return type(self)(self.l1, weights=cut(unpacked(self.weights)), gamma=self.gamma)

    def _value(self, weights):
        return self.l1 * ops.sum(self._constant(weights) * absolute(weights))

    def _prox(self, weights, step):
        if not self.l1:
            return weights
        factors = self._constant(weights)
        # 0 times an infinite step is NaN.
        threshold = ops.where(factors == 0, ops.zeros_like(factors), self.l1 * step * factors)
        return operators.soft_threshold(weights, threshold)

    def _arguments(self):
        return {
            "l1": self.l1,
            "weights": self.weights,
            "pilot": self.pilot,
            "gamma": self.gamma,
        }


def _adaptive(pilot, gamma):
    factors = np.maximum(np.abs(pilot.astype("float64")), TINY) ** -gamma
    if factors.size and factors.max() > np.finfo("float32").max:
        raise ValueError(
            f"`gamma` is too large for this pilot: 1 / {np.abs(pilot).min()}^{gamma} overflows. "
            f"Received: gamma={gamma}. Usual values are 0.5, 1 and 2."
        )
    return factors
