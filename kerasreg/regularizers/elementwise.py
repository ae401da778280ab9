"""Elementwise penalties: L1, L2, elastic net, non-negative L1."""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.regularizers.base import Regularizer, absolute


@keras.saving.register_keras_serializable("kerasreg")
class L1(Regularizer):
    """`l1 * sum(|w|)`: makes weights exactly zero (lasso; Tibshirani, 1996).

    The proximal operator is soft thresholding, `sign(w) max(|w| - l1 * step, 0)`. The argument,
    value and config are those of `keras.regularizers.L1`. Half-precision weights are computed in
    float32.

    Args:
        l1: finite float >= 0, the regularization factor.

    Raises:
        ValueError: if a factor is negative or not a finite number.

    Example:

    >>> regularizer = kerasreg.regularizers.L1(0.5)
    >>> float(regularizer(np.array([3.0, -0.1])))
    1.55
    >>> np.asarray(regularizer.prox(np.array([3.0, -0.1]), step=1.0)).tolist()
    [2.5, 0.0]
    """

    def __init__(self, l1: float = 0.01):
        self.l1 = validation.number(l1, "l1", at_least=0)

    def _value(self, weights):
        return self.l1 * ops.sum(absolute(weights))

    def _prox(self, weights, step):
        return operators.soft_threshold(weights, self.l1 * step) if self.l1 else weights

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


@keras.saving.register_keras_serializable("kerasreg")
class L2(Regularizer):
    """`l2 * sum(w^2)`: keeps weights small (ridge regression; Hoerl & Kennard, 1970).

    The proximal operator is `w / (1 + 2 * l2 * step)`, which makes no zeros. The argument, value
    (without a factor of 1/2) and config are those of `keras.regularizers.L2`. Half-precision
    weights are computed in float32.

    Args:
        l2: finite float >= 0, the regularization factor.

    Raises:
        ValueError: if a factor is negative or not a finite number.

    Example:

    >>> regularizer = kerasreg.regularizers.L2(0.5)
    >>> float(regularizer(np.array([2.0, -1.0])))
    2.5
    >>> np.asarray(regularizer.prox(np.array([2.0, -1.0]), step=1.0)).tolist()
    [1.0, -0.5]
    """

    def __init__(self, l2: float = 0.01):
        self.l2 = validation.number(l2, "l2", at_least=0)

    def _value(self, weights):
        return self.l2 * ops.sum(ops.square(weights))

    def _prox(self, weights, step):
        return operators.shrink(weights, self.l2 * step) if self.l2 else weights

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


@keras.saving.register_keras_serializable("kerasreg")
class L1L2(Regularizer):
    """`l1 * sum(|w|) + l2 * sum(w^2)`: the elastic net (Zou & Hastie, 2005).

    The proximal operator is soft thresholding followed by a division, `sign(w) max(|w| - l1 * step,
    0) / (1 + 2 * l2 * step)`. The arguments, value and config are those of
    `keras.regularizers.L1L2`. With a mean squared error, `L1L2(l1=2 * alpha * l1_ratio, l2=alpha *
    (1 - l1_ratio))` equals scikit-learn's `ElasticNet(alpha, l1_ratio)`.

    Args:
        l1: finite float >= 0, the factor of the L1 term.
        l2: finite float >= 0, the factor of the L2 term.

    Raises:
        ValueError: if a factor is negative or not a finite number.

    Example:

    >>> regularizer = kerasreg.regularizers.L1L2(l1=1.0, l2=0.5)
    >>> float(regularizer(np.array([3.0, -0.5])))
    8.125
    >>> np.asarray(regularizer.prox(np.array([3.0, -0.5]), step=1.0)).tolist()
    [1.0, 0.0]
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        # Keras also accepts None for 0.
        self.l1 = validation.number(0.0 if l1 is None else l1, "l1", at_least=0)
        self.l2 = validation.number(0.0 if l2 is None else l2, "l2", at_least=0)

    def _value(self, weights):
        # A term with a factor of 0 is not computed.
        value = ops.zeros((), weights.dtype)
        if self.l1:
            value = value + self.l1 * ops.sum(absolute(weights))
        if self.l2:
            value = value + self.l2 * ops.sum(ops.square(weights))
        return value

    def _prox(self, weights, step):
        if self.l1:
            weights = operators.soft_threshold(weights, self.l1 * step)
        return operators.shrink(weights, self.l2 * step) if self.l2 else weights

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


@keras.saving.register_keras_serializable("kerasreg")
class NonNegativeL1(Regularizer):
    """`l1 * sum(|w|)` with the constraint `w >= 0`: the non-negative lasso (Hoyer, 2002).

    The proximal operator is `max(w - l1 * step, 0)`. With `ProximalGradient`, no weight is
    negative after the first step, even for `l1=0.0`. Without it, the penalty is `L1`.

    Args:
        l1: finite float >= 0, the regularization factor.

    Raises:
        ValueError: if `l1` is negative or not a finite number.

    Example:

    >>> regularizer = kerasreg.regularizers.NonNegativeL1(0.5)
    >>> float(regularizer(np.array([3.0, 0.25])))
    1.625
    >>> np.asarray(regularizer.prox(np.array([3.0, 0.25, -3.0]), step=1.0)).tolist()
    [2.5, 0.0, 0.0]
    """

    def __init__(self, l1: float = 0.01):
        self.l1 = validation.number(l1, "l1", at_least=0)

    def _value(self, weights):
        return self.l1 * ops.sum(absolute(weights))

    def _prox(self, weights, step):
        # 0 times an infinite step is NaN.
        threshold = self.l1 * step if self.l1 else ops.zeros_like(step)
        return operators.positive_threshold(weights, threshold)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}
