"""At most `n` of every `m` weights in a row."""

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
    """At most `n` of every `m` weights in a row along an axis are not zero (2:4 for GPUs).

    While a schedule rises, the `m - n` weakest of every `m` are candidates, and those of them with
    the lowest scores go first; at the final sparsity of `1 - n / m`, which is that of the default
    schedule, all of them are gone. Where `m` does not divide the axis, the last weights are
    treated as if zeros filled them up, and the plan says so; an axis shorter than `m` is left out.

    Args:
        n: how many may stay, at least 1.
        m: of how many, above `n`.
        axis: the axis along which they lie. None: the one that is summed over, `-2` for the
            kernels of dense and convolutional layers, that of the inputs where it is known.

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
                "`n` and `m` must be ints with 0 < n < m, n being what stays (2 of 4). "
                f"Received: n={n!r}, m={m!r}"
            )
        axis = validation.integer(axis, "axis", none="the inputs")
        self.n, self.m, self.axis = int(n), int(m), axis

    @property
    def final(self) -> float | None:
        return 1.0 - self.n / self.m

    @property
    def no_regrowth(self) -> str | None:
        return "`regrow` would break an N:M pattern"

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
        # Several axes are read by attention: the last of them lies next to itself in memory.
        return axis[-1] if isinstance(axis, tuple) else axis


class _Candidates(Weights):
    """Of every `m` weights along an axis, all but the `n` best."""

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
        # What is dead already is a candidate before anything else is.
        scores = super().scores(scores, alive).reshape(self.shape)
        scores = np.moveaxis(scores, self._axis, -1)
        length = scores.shape[-1]
        padding = -length % self._m
        widths = [(0, 0)] * (scores.ndim - 1) + [(0, padding)]
        # The zeros that fill up the last ones are the weakest.
        rows = np.pad(scores, widths, constant_values=-np.inf)
        rows = rows.reshape(*rows.shape[:-1], -1, self._m).copy()
        best = np.argsort(rows, axis=-1, kind="stable")[..., self._m - self._n :]
        np.put_along_axis(rows, best, np.inf, axis=-1)
        rows = rows.reshape(*rows.shape[:-2], -1)[..., :length]
        return np.moveaxis(rows, -1, self._axis).reshape(-1)
