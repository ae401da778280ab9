"""Penalties of sorted weights: SLOPE and OSCAR."""

import functools
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Shape
from kerasreg.regularizers.base import Regularizer, absolute

SEQUENCES = ("benjamini_hochberg", "linear")


@keras.saving.register_keras_serializable("kerasreg")
class SLOPE(Regularizer):
    """`factor * sum_k omega_k |w|_(k)`, the sorted L1 penalty (Bogdan et al., 2015).

    `|w|_(1) >= |w|_(2) >= ...` are the sorted absolute values. Larger weights have larger factors,
    controls the false discovery rate of the non-zero weights and gives correlated inputs weights of
    equal size. `omega_1` is 1. For `n` weights, the k-th factor is

    | sequence | omega_k |
    |---|---|
    | `"benjamini_hochberg"` | `quantile(1 - k q / 2n) / quantile(1 - q / 2n)` of the normal law |
    | `"linear"` | from 1 to `last` in equal steps: OSCAR (Bondell & Reich, 2008) |

    The linear sequence with `last=1` equals `L1`. The proximal operator sorts the weights,
    subtracts the thresholds, and pools adjacent values that are no longer in order. It takes one
    step size for all weights.

    Args:
        factor: finite float >= 0, the regularization factor.
        sequence: `"benjamini_hochberg"` or `"linear"`.
        q: float, 0 < q < 1, the target false discovery rate of `"benjamini_hochberg"`.
        last: float from 0 to 1, the last value of the linear sequence.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    >>> regularizer = kerasreg.regularizers.SLOPE(1.0, sequence="linear", last=0.5)
    >>> float(regularizer(np.array([1.0, -4.0, 2.0])))
    6.0
    >>> np.asarray(regularizer.prox(np.array([3.0, -3.25, 0.25]), step=1.0)).tolist()
    [2.25, -2.25, 0.0]
    """

    is_fusible = False

    def __init__(
        self,
        factor: float = 0.01,
        sequence: str = "benjamini_hochberg",
        q: float = 0.1,
        last: float = 0.0,
    ):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.sequence = validation.choice(sequence, "sequence", SEQUENCES)
        self.q = validation.number(q, "q", above=0, below=1)
        self.last = validation.number(
            *(last, "last"), at_least=0, at_most=1, meaning="because the sequence decreases"
        )

    def step_shape(self, shape: Shape) -> tuple[Any, ...]:
        return ()

    def _value(self, weights):
        size = ops.reshape(absolute(weights), (-1,))
        omega = ops.convert_to_tensor(self._omega(size.shape[0]), size.dtype)
        return self.factor * ops.sum(omega * ops.take(size, ops.argsort(-size)))

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        omega = self._omega(int(np.prod(weights.shape)))
        omega = ops.convert_to_tensor(omega, weights.dtype)
        return operators.sorted_threshold(weights, self.factor * ops.reshape(step, ()), omega)

    def _omega(self, size):
        if self.sequence == "linear":
            return np.linspace(1.0, self.last, size)
        return _benjamini_hochberg(size, self.q)

    def get_config(self) -> dict[str, Any]:
        return {
            "factor": self.factor,
            "sequence": self.sequence,
            "q": self.q,
            "last": self.last,
        }


@functools.lru_cache(maxsize=128)
def _benjamini_hochberg(size, q):
    # The upper tail by symmetry, because `1 - p` loses the digits of a small `p`.
    tail = NormalDist().inv_cdf
    omega = np.array([-tail(k * q / (2 * size)) for k in range(1, size + 1)])
    return omega / omega[0]
