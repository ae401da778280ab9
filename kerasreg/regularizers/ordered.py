"""Penalties of sorted weights."""

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
    """`factor * sum_k omega_k |w|_(k)`, `|w|_(1)` the largest: sorted L1 (Bogdan et al., 2015).

    The larger a weight is among the others, the more it pays: the false discovery rate of the
    weights that stay is controlled, and correlated inputs get weights of equal size. `omega_1` is
    1, and of `n` weights the k-th has

    | sequence | omega_k |
    |---|---|
    | `"benjamini_hochberg"` | `quantile(1 - k q / 2n) / quantile(1 - q / 2n)` of the normal law |
    | `"linear"` | from 1 to `last` in equal steps: OSCAR (Bondell & Reich, 2008) |

    `last=1` is `L1`. The prox sorts, subtracts and pools what is then not sorted. It takes one
    step for all weights.

    Args:
        factor: finite and >= 0.
        sequence: `"benjamini_hochberg"` or `"linear"`.
        q: the false discovery rate that Benjamini-Hochberg aims at, between 0 and 1.
        last: the last of the linear sequence, from 0 to 1.

    Raises:
        ValueError: for a bad factor, sequence, `q` or `last`.

    Example:

    >>> regularizer = kerasreg.regularizers.SLOPE(1.0, sequence="linear", last=0.5)
    >>> float(regularizer(np.array([1.0, -4.0, 2.0])))
    6.0
    >>> np.asarray(regularizer.prox(np.array([3.0, -3.25, 0.25]), step=1.0)).tolist()
    [2.25, -2.25, 0.0]
    """

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
            *(last, "last"), at_least=0, at_most=1, meaning="because the sequence falls"
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
    # The upper tail by symmetry: 1 - p has lost the digits of a small p.
    tail = NormalDist().inv_cdf
    omega = np.array([-tail(k * q / (2 * size)) for k in range(1, size + 1)])
    return omega / omega[0]
