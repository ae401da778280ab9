"""A number of weights that are not zero."""

import math
from typing import Any

import keras

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg.constraints.base import GroupProjection


@keras.saving.register_keras_serializable("kerasreg")
class KSparse(GroupProjection):
    """At most `k` weights that are not zero, of all or of every group (Blumensath & Davies, 2009).

    The projection keeps the `k` largest of `w^2 / step` and zeroes the others; of equal ones it
    keeps the first. Give `k`, or the fraction of zeros as `sparsity`.

    Args:
        k: int of at least 1 and at most the size of a group.
        sparsity: the fraction of zeros, at least 0 and below 1; of `n` weights,
            `round(sparsity * n)` are zero, and at least one is kept.
        axis, gates: the groups, as in `Simplex`: `axis=0` counts within each unit of a dense
            kernel, None counts all weights together.

    Raises:
        ValueError: for a bad `k`, `sparsity` or axis, for both or none of the first two, and, when
            it meets the weights, for an axis that they do not have or a `k` above their number.

    Example:

    >>> constraint = kerasreg.constraints.KSparse(k=1, axis=0)
    >>> np.asarray(constraint(np.array([[3.0, 0.5], [-1.0, -2.0]]))).tolist()
    [[3.0, 0.0], [0.0, -2.0]]
    >>> constraint = kerasreg.constraints.KSparse(sparsity=0.75)
    >>> np.asarray(constraint(np.array([[3.0, 0.5], [-1.0, -2.0]]))).tolist()
    [[3.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        k: int | None = None,
        sparsity: float | None = None,
        axis: Axis | None = None,
        gates: int = 1,
    ):
        super().__init__(axis, gates)
        if (k is None) == (sparsity is None):
            raise ValueError(
                f"`KSparse` needs `k` or `sparsity`, not both. Received: k={k}, sparsity={sparsity}"
            )
        self.k = validation.integer(k, "k", at_least=1, none="`sparsity`")
        self.sparsity = validation.number(
            sparsity, "sparsity", at_least=0, below=1, meaning="the share of zeros", none="`k`"
        )

    def check(self, shape: Shape, name: str = "weights") -> None:
        super().check(shape, name)
        size = self._size(shape)
        if self.k is not None and self.k > size:
            raise ValueError(
                f"`k` must be at most the number of weights in a group: {size} in {name} with "
                f"shape {tuple(shape)}. Received: k={self.k}"
            )

    def _project(self, weights, step):
        size = self._size(weights.shape)
        k = self.k or max(size - round(self.sparsity * size), 1)
        if k == size:
            return weights
        return self._by_group(operators.keep_largest, weights, step, k)

    def _size(self, shape):
        view, axes = self._layout(shape)
        return math.prod(view[axis] for axis in axes)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k, "sparsity": self.sparsity, **super().get_config()}
