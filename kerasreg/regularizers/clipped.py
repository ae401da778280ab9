"""Penalties of single weights that end at some size: larger weights do not shrink at all.

Where two minimisers of a prox are equally good, it takes the smaller one.
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

    The minimax concave penalty (Zhang, 2010): L1 near zero, and constant from `gamma * factor` on,
    so that large weights keep their size. `gamma` to infinity is `L1(factor)`.

    The prox, with `S` for soft thresholding: while `step < gamma`,
    `S(w, factor * step) / (1 - step / gamma)` up to `gamma * factor` and then `w`; for larger
    steps, `w` where `|w| > factor * sqrt(gamma * step)` and else 0.

    Args:
        factor: finite and >= 0.
        gamma: finite and > 0.

    Raises:
        ValueError: for a factor or a gamma out of range.

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

    The smoothly clipped absolute deviation (Fan & Li, 2001): L1 up to `factor`, and constant from
    `a * factor` on, so that large weights keep their size. `a` to infinity is `L1(factor)`.

    The prox, with `S` for soft thresholding: while `step < a - 1`, `S(w, factor * step)` up to
    `factor * (1 + step)`, `w` from `a * factor` on, and straight in between; for larger steps, `w`
    above one threshold and `S(w, factor * step)` below it.

    Args:
        factor: finite and >= 0.
        a: finite and > 2; 3.7 is the paper's.

    Raises:
        ValueError: for a factor or an `a` out of range.

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
    """`factor * sum(min(|w|, theta))`: L1 that ends at `theta` (Zhang, 2010).

    Weights that are larger than `theta` keep their size. `theta` to infinity is `L1(factor)`.

    The prox is `w` where `|w| > theta + factor * step / 2` (where
    `|w| > sqrt(2 * theta * factor * step)` for `factor * step >= 2 * theta`), and else soft
    thresholding.

    Args:
        factor: finite and >= 0.
        theta: finite and > 0.

    Raises:
        ValueError: for a factor or a theta out of range.

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
