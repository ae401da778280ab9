"""L1 with a factor for each weight."""

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

#: Pilot weights nearer to zero than this count as this large.
TINY = 1e-8


@keras.saving.register_keras_serializable("kerasreg")
class WeightedL1(Anchored):
    """`l1 * sum(weights * |w|)`: L1 with a factor for each weight (adaptive lasso; Zou, 2006).

    Either the factors are given, or they are `1 / max(|pilot|, 1e-8)^gamma`: what is small in a
    pilot model, trained without this penalty, is penalised more. `kerasreg.attach` takes the
    present weights of the model as the pilot. Ones as weights are `L1`. The prox is soft
    thresholding by `l1 * step * weights`.

    Args:
        l1: factor, finite and >= 0.
        weights: array of the weights' shape, finite and >= 0.
        pilot: array of the weights' shape, instead of `weights`. With neither, the penalty is for
            `kerasreg.attach`.
        gamma: power of the pilot, finite and > 0.

    Raises:
        ValueError: for a bad argument, and, when it meets the weights, for arrays that are missing
            or of another shape.

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
                "`weights` and `pilot` exclude each other. Received: both, of shapes "
                f"{self.weights.shape} and {self.pilot.shape}"
            )
        if not any(isinstance(each, PackedArray) for each in (self.weights, self.pilot)):
            _ = self._array  # For its errors.

    @functools.cached_property
    def _array(self):
        if self.pilot is not None:
            return _adaptive(unpacked(self.pilot), self.gamma)
        weights = unpacked(self.weights)
        if weights is not None and (weights < 0).any():
            raise ValueError(
                f"`weights` must not be negative. Received: a smallest one of {weights.min()}"
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
        # Without a factor no step does anything, not even an infinite one.
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
