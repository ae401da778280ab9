"""Elementwise penalties that are constant for large weights, which are not shrunk.

If two minimizers of a proximal operator are equally good, it returns the smaller one.
"""

from typing import Any

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.regularizers.base import Regularizer, absolute


@keras.saving.register_keras_serializable("kerasreg")
class MCP(Regularizer):
    """`sum(factor * m - m^2 / (2 * gamma))`, `m = min(|w|, gamma * factor)`.

    The minimax concave penalty (Zhang, 2010). It equals L1 near zero and is constant for `|w| >=
    gamma * factor`, so that large weights are not shrunk. For `gamma` to infinity, it approaches
    `L1(factor)`.

    Proximal operator, with soft thresholding `S`: for `step < gamma`, it is `S(w, factor * step) /
    (1 - step / gamma)` where `|w| <= gamma * factor`, and `w` elsewhere. For larger steps, it is
    `w` where `|w| > factor * sqrt(gamma * step)`, and 0 elsewhere.

    Args:
        factor: finite float >= 0, the regularization factor.
        gamma: finite float > 0. The penalty is constant for `|w| >= gamma * factor`.

    Raises:
        ValueError: if `factor` or `gamma` is out of range.

    Example:

    >>> regularizer = kerasreg.regularizers.MCP(1.0, gamma=3.0)
    >>> float(regularizer(np.array([9.0, 3.0, 0.0])))
    3.0
    >>> np.asarray(regularizer.prox(np.array([9.0, 2.0, 0.5]), step=1.0)).tolist()
    [9.0, 1.5, 0.0]
    """

    def __init__(self, factor: float = 0.01, gamma: float = 3.0):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.gamma = validation.number(gamma, "gamma", above=0)

    def _value(self, weights):
        m = _at_most(absolute(weights), self.gamma * self.factor)
        return ops.sum(m * (self.factor - m / (2 * self.gamma)))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.mcp_threshold(weights, step, self.factor, self.gamma)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "gamma": self.gamma}


@keras.saving.register_keras_serializable("kerasreg")
class SCAD(Regularizer):
    """`sum(factor * m - max(m - factor, 0)^2 / (2 * (a - 1)))`, `m = min(|w|, a * factor)`.

    The smoothly clipped absolute deviation (Fan & Li, 2001). It equals L1 for `|w| <= factor` and
    is constant for `|w| >= a * factor`, so that large weights are not shrunk. For `a` to infinity,
    it approaches `L1(factor)`.

    Proximal operator, with soft thresholding `S`: for `step < a - 1`, it is `S(w, factor * step)`
    where `|w| <= factor * (1 + step)`, `w` where `|w| >= a * factor`, and linear in between. For
    larger steps, it is `w` above a threshold and `S(w, factor * step)` below it.

    Args:
        factor: finite float >= 0, the regularization factor.
        a: finite float > 2. The paper recommends 3.7.

    Raises:
        ValueError: if `factor` or `a` is out of range.

    Example:

    >>> regularizer = kerasreg.regularizers.SCAD(1.0, a=3.0)
    >>> float(regularizer(np.array([9.0, 1.0, 0.0])))
    3.0
    >>> np.asarray(regularizer.prox(np.array([9.0, 2.5, 1.5, 0.5]), step=1.0)).tolist()
    [9.0, 2.0, 0.5, 0.0]
    """

    def __init__(self, factor: float = 0.01, a: float = 3.7):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.a = validation.number(a, "a", above=2)

    def _value(self, weights):
        m = _at_most(absolute(weights), self.a * self.factor)
        excess = ops.relu(m - self.factor)
        return ops.sum(self.factor * m - ops.square(excess) / (2 * (self.a - 1)))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.scad_threshold(weights, step, self.factor, self.a)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "a": self.a}


@keras.saving.register_keras_serializable("kerasreg")
class CappedL1(Regularizer):
    """`factor * sum(min(|w|, theta))`: L1 that is constant for `|w| >= theta` (Zhang, 2010).

    Weights well above `theta` are not shrunk. For `theta` to infinity, it approaches `L1(factor)`.

    The proximal operator is `w` where `|w| > theta + factor * step / 2`, and soft thresholding
    elsewhere. For `factor * step >= 2 * theta`, it is `w` where `|w| > sqrt(2 * theta * factor *
    step)`, and 0 elsewhere.

    Args:
        factor: finite float >= 0, the regularization factor.
        theta: finite float > 0. The penalty is constant for `|w| >= theta`.

    Raises:
        ValueError: if `factor` or `theta` is out of range.

    Example:

    >>> regularizer = kerasreg.regularizers.CappedL1(1.0, theta=2.0)
    >>> float(regularizer(np.array([9.0, 1.0])))
    3.0
    >>> np.asarray(regularizer.prox(np.array([9.0, 2.0, 0.5]), step=1.0)).tolist()
    [9.0, 1.0, 0.0]
    """

    def __init__(self, factor: float = 0.01, theta: float = 0.1):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.theta = validation.number(theta, "theta", above=0)

    def _value(self, weights):
        return self.factor * ops.sum(_at_most(absolute(weights), self.theta))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        return operators.capped_threshold(weights, self.factor * step, self.theta)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "theta": self.theta}


def _at_most(x, bound):
    # Not `ops.minimum`, which rounds float64 to float32 on torch.
    return ops.where(x > bound, ops.convert_to_tensor(bound, x.dtype), x)
