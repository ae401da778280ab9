"""Constraints on the number of non-zero weights."""

import math
from typing import Any

import keras

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg.constraints.base import GroupProjection


@keras.saving.register_keras_serializable("kerasreg")
class KSparse(GroupProjection):
    """At most `k` non-zero weights, in total or in every group (Blumensath & Davies, 2009).

    The projection keeps the weights with the `k` largest values of `w^2 / step` and sets the others
    to zero. Of equal values, it keeps the first. Pass either `k` or `sparsity`.

    Args:
        k: int from 1 to the size of a group, the number of weights that are kept.
        sparsity: float, 0 <= sparsity < 1, the fraction of zeros. `round(sparsity * n)` of `n`
            weights are set to zero, but at least one is kept.
        axis, gates: the groups, as in `Simplex`. With `axis=0`, `k` applies to each unit of a
            `Dense` kernel; with None, to all weights together.

    Raises:
        ValueError: if an argument is invalid, if both or neither of `k` and `sparsity` are given,
            or, when the constraint is applied, if the weights do not have these axes or `k` is
            larger than a group.

    Example:

    >>> constraint = kerasreg.constraints.KSparse(k=1, axis=0)
    >>> np.asarray(constraint(np.array([[3.0, 0.5], [-1.0, -2.0]]))).tolist()
    [[3.0, 0.0], [0.0, -2.0]]
    >>> constraint = kerasreg.constraints.KSparse(sparsity=0.75)
    >>> np.asarray(constraint(np.array([[3.0, 0.5], [-1.0, -2.0]]))).tolist()
    [[3.0, 0.0], [0.0, 0.0]]
    """

    is_fusible = False

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
                f"`KSparse` needs either `k` or `sparsity`. Received: k={k}, sparsity={sparsity}"
            )
        self.k = validation.integer(k, "k", at_least=1, none="`sparsity`")
        self.sparsity = validation.number(
            sparsity, "sparsity", at_least=0, below=1, meaning="the fraction of zeros", none="`k`"
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
