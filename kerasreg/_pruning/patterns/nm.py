"""The N:M pattern: at most `n` non-zeros among every `m` consecutive weights."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.patterns.unstructured import Weights
from kerasreg._pruning.units import Units


class NM(Pattern):
    """At most `n` non-zeros among every `m` consecutive weights along an axis (2:4 for GPUs).

    While the sparsity rises, the `m - n` weakest of every `m` weights are candidates, and the
    candidates with the lowest scores are pruned first. At the final sparsity of `1 - n / m`, all
    candidates are pruned; it is the final sparsity of the default schedule. If `m` does not divide
    the axis, the last weights are padded with zeros, and the plan says so. Variables whose axis is
    shorter than `m` are skipped.

    Args:
        n: the maximum number of non-zeros, at least 1.
        m: the number of consecutive weights, above `n`.
        axis: the axis along which weights are consecutive, an int. Default: the axis that is summed
            over, which is the axis of the inputs if it is known, and `-2` otherwise.

    Raises:
        ValueError: for invalid arguments.

    Source: Mishra et al. (2021), "Accelerating Sparse Deep Neural Networks".

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> plan = kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.NM(2, 4, axis=0))
    >>> kernel = np.asarray(model.layers[0].kernel)
    >>> np.count_nonzero(kernel.reshape(2, 4, 6), axis=1).max()
    np.int64(2)
    """

    def __init__(self, n: int, m: int, axis: int | None = None):
        if not all(map(validation.is_integer, (n, m))) or not 0 < n < m:
            raise ValueError(
                "`n` and `m` must be ints with 0 < n < m, where n is the number of non-zeros. "
                f"Received: n={n!r}, m={m!r}"
            )
        axis = validation.integer(axis, "axis", none="the inputs")
        self.n, self.m, self.axis = int(n), int(m), axis

    @property
    def final(self) -> float | None:
        return 1.0 - self.n / self.m

    @property
    def no_regrowth(self) -> str | None:
        return "`regrow` would violate the N:M pattern"

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        shape = tuple(variable.shape)
        axis = self._axis(shape, roles)
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"axis {axis} does not exist in shape {shape}")
        length = shape[axis]
        if length < self.m:
            raise ValueError(f"axis {axis} has {length} weights, {self.n}:{self.m} needs {self.m}")
        return _Candidates(shape, axis, self.n, self.m)

    def _axis(self, shape, roles):
        if self.axis is not None:
            return self.axis
        axis = roles["input"].axis if "input" in roles else -2
        # Attention outputs sum over several axes; weights along the last are adjacent in memory.
        return axis[-1] if isinstance(axis, tuple) else axis


class _Candidates(Weights):
    """The candidates: of every `m` weights along an axis, all but the `n` best."""

    is_loose = False

    def __init__(self, shape, axis, n, m):
        self._axis, self._n, self._m = axis % len(shape), n, m
        rows = math.prod(shape) // shape[axis]
        whole, rest = divmod(shape[axis], m)
        remark = f"the last {rest} of {shape[axis]} weights along axis {axis} count as {m}"
        limit = rows * (whole * (m - n) + max(0, rest - n))
        super().__init__(shape, limit, remark if rest else None)

    def prunable(self, sparsity, scores=None):
        share = sparsity / (1.0 - self._n / self._m)
        return min(math.floor(share * self.limit + 0.5), self.limit)

    def scores(self, scores, alive=None):
        # Weights that are pruned already are the first candidates.
        scores = super().scores(scores, alive).reshape(self.shape)
        scores = np.moveaxis(scores, self._axis, -1)
        length = scores.shape[-1]
        padding = -length % self._m
        widths = [(0, 0)] * (scores.ndim - 1) + [(0, padding)]
        # The padding is weaker than all weights.
        rows = np.pad(scores, widths, constant_values=-np.inf)
        rows = rows.reshape(*rows.shape[:-1], -1, self._m).copy()
        best = np.argsort(rows, axis=-1, kind="stable")[..., self._m - self._n :]
        np.put_along_axis(rows, best, np.inf, axis=-1)
        rows = rows.reshape(*rows.shape[:-2], -1)[..., :length]
        return np.moveaxis(rows, -1, self._axis).reshape(-1)
