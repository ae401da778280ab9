"""Elementwise concave penalties between L0 and L1, which shrink large weights less.

If two minimizers of a proximal operator are equally good, it returns the smaller one.
"""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.regularizers.base import Regularizer, absolute


@keras.saving.register_keras_serializable("kerasreg")
class L0(Regularizer):
    """`factor * count_nonzero(w)`: the number of non-zero weights (Blumensath & Davies, 2008).

    Also known as best subset selection. Its gradient is zero, so that it has no effect without
    `ProximalGradient`. The proximal operator is hard thresholding: `w` where `|w| > sqrt(2 * factor
    * step)`, and 0 elsewhere.

    Args:
        factor: finite float >= 0, the regularization factor.

    Raises:
        ValueError: if `factor` is negative or not a finite number.

    Example:

    >>> regularizer = kerasreg.regularizers.L0(0.5)
    >>> float(regularizer(np.array([3.0, -0.1, 0.0])))
    1.0
    >>> np.asarray(regularizer.prox(np.array([3.0, -0.1]), step=1.0)).tolist()
    [3.0, 0.0]
    """

    def __init__(self, factor: float = 0.01):
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        # `w - w` has no gradient, and is NaN if the weight is not finite.
        ones = weights - weights + 1
        return self.factor * ops.sum(ops.where(weights == 0, ops.zeros_like(ones), ones))

    def _prox(self, weights, step):
        return operators.hard_threshold(weights, self.factor * step) if self.factor else weights

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


@keras.saving.register_keras_serializable("kerasreg")
class Lp(Regularizer):
    """`factor * sum(|w|^p)` for p = 1/2 or 2/3 (Xu et al., 2012; Cao et al., 2013).

    Between L0 and L1: large weights are shrunk less. The proximal operator is 0 where `|w| <= 3/2
    (factor * step)^(2/3)` (p = 1/2) or `|w| <= 2 (2/3 factor * step)^(3/4)` (p = 2/3). Elsewhere it
    is the larger solution of `x + factor * step * p * x^(p - 1) = |w|` with the sign of `w`, which
    is at least 2/3 (p = 1/2) or 1/2 (p = 2/3) of `w`. Without `ProximalGradient`, the gradient near
    zero is as large as `factor * p * |w|^(p - 1)`.

    Args:
        factor: finite float >= 0, the regularization factor.
        p: float, `1 / 2` or `2 / 3`.

    Raises:
        ValueError: if `factor` is out of range or `p` is not supported.

    Example:

    >>> regularizer = kerasreg.regularizers.Lp(1.0, p=1 / 2)
    >>> float(regularizer(np.array([9.0, -4.0, 0.0])))
    5.0
    >>> np.asarray(regularizer.prox(np.array([9.0, -4.0, 1.0]), step=1.0)).round(3).tolist()
    [8.832, -3.742, 0.0]
    """

    def __init__(self, factor: float = 0.01, p: float = 0.5):
        self.factor = validation.number(factor, "factor", at_least=0)
        if not validation.is_number(p) or p not in (1 / 2, 2 / 3):
            expected = "1/2 or 2/3, as a float (such as `p=2 / 3`)"
            raise validation.invalid("p", p, expected)
        self.p = float(p)

    def _value(self, weights):
        # The derivative is infinite at 0. A zero derivative lets a zero stay zero.
        dead = weights == 0
        size = absolute(ops.where(dead, ops.ones_like(weights), weights))
        return self.factor * ops.sum(ops.where(dead, ops.zeros_like(size), size**self.p))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.lp_threshold(weights, self.factor * step, self.p)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "p": self.p}


@keras.saving.register_keras_serializable("kerasreg")
class LogSum(Regularizer):
    """`factor * sum(log(1 + |w| / epsilon))`: the limit of reweighted L1 (Candès et al., 2008).

    Large weights are shrunk less. The proximal operator is `(|w| - epsilon + sqrt((|w| + epsilon)^2
    - 4 * factor * step)) / 2` with the sign of `w`, where this exists and has a lower objective
    than 0, and 0 elsewhere. For `epsilon` to infinity, `LogSum(factor * epsilon, epsilon)`
    approaches `L1(factor)`.

    Args:
        factor: finite float >= 0, the regularization factor.
        epsilon: finite float > 0. Choose it somewhat smaller than the weights to be kept.

    Raises:
        ValueError: if `factor` or `epsilon` is out of range.

    Example:

    >>> regularizer = kerasreg.regularizers.LogSum(1.0, epsilon=1.0)
    >>> round(float(regularizer(np.array([1.0, 0.0]))), 3)
    0.693
    >>> np.asarray(regularizer.prox(np.array([1.5, -1.0]), step=1.0)).tolist()
    [1.0, 0.0]
    """

    def __init__(self, factor: float = 0.01, epsilon: float = 0.1):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.epsilon = validation.number(epsilon, "epsilon", above=0)

    def _value(self, weights):
        return self.factor * ops.sum(ops.log1p(absolute(weights) / self.epsilon))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.log_threshold(weights, self.factor * step, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("kerasreg")
class TransformedL1(Regularizer):
    """`factor * sum((a + 1) * |w| / (a + |w|))`: between L0 and L1 (Zhang & Xin, 2018).

    It approaches `L0(factor)` for `a` to 0 and `L1(factor)` for `a` to infinity. The penalty of a
    weight is at most `factor * (a + 1)`. With `T = factor * step`, the proximal operator is 0 where
    `|w| <= T * (a + 1) / a` (for `T > a^2 / (2 * (a + 1))`, where `|w| <= sqrt(2 * T * (a + 1)) - a
    / 2`). Elsewhere it is the largest solution of a cubic equation.

    Args:
        factor: finite float >= 0, the regularization factor.
        a: finite float > 0.

    Raises:
        ValueError: if `factor` or `a` is out of range.

    Example:

    >>> regularizer = kerasreg.regularizers.TransformedL1(1.0, a=1.0)
    >>> float(regularizer(np.array([3.0, -1.0, 0.0])))
    2.5
    >>> np.asarray(regularizer.prox(np.array([3.0, -1.0]), step=1.0)).round(3).tolist()
    [2.866, 0.0]
    """

    def __init__(self, factor: float = 0.01, a: float = 1.0):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.a = validation.number(a, "a", above=0)

    def _value(self, weights):
        size = absolute(weights)
        return self.factor * (self.a + 1) * ops.sum(size / (self.a + size))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.transformed_l1_threshold(weights, self.factor * step, self.a)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "a": self.a}
