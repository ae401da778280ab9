"""Which weights go together: the units that a pattern prunes as a whole, in NumPy.

A pattern is bound to a variable, which gives `Units`: how many there are, how scores of weights
become scores of units, and how a choice of units becomes a mask of weights.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._graph.groups import Groups
from kerasreg._pruning.coupled import Coupled
from kerasreg._pruning.heads import Heads
from kerasreg._pruning.pattern import Pattern
from kerasreg._pruning.units import Units


class Unstructured(Pattern):
    """Every weight on its own.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Unstructured()).sparsity
    0.5
    """

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        return _Weights(variable.shape)


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


class Block(Pattern):
    """Rectangular blocks, which fast kernels can skip.

    Args:
        shape: of the blocks; its ints belong to the last axes, earlier axes have blocks of 1:
            `(4, 4)` takes 4 inputs by 4 filters of a convolution at each place. Blocks at the
            edges may be smaller.
        pooling: how the scores of the weights make that of the block: `"mean"` or `"max"`.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> plan = kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Block((2, 2)))
    >>> plan["net/dense/kernel"].units
    12
    """

    def __init__(self, shape: Sequence[int], pooling: str = "mean"):
        try:
            sizes = tuple(shape)
        except TypeError:
            sizes = ()
        if not sizes or not all(validation.is_integer(size) and size > 0 for size in sizes):
            expected = "a tuple of ints of at least 1, such as (4, 4)"
            raise validation.invalid("shape", shape, expected)
        self.shape = tuple(map(int, sizes))
        self.pooling = validation.choice(pooling, "pooling", ("mean", "max"))

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        shape = tuple(variable.shape)
        if len(shape) < len(self.shape):
            raise ValueError(f"shape {shape} has fewer axes than blocks of {self.shape}")
        block = (1,) * (len(shape) - len(self.shape)) + self.shape
        return _Blocks(shape, block, self.pooling)


class Group(Pattern):
    """Whole units, filters, inputs or heads: the groups of the regularizers.

    The score of a group is the root of the mean square of the scores of its weights, which for
    magnitudes orders groups by their L2 norm and compares layers of different width.

    Args:
        axis: an int or several, one group per index; or a name that is translated for each layer:
            `"output"` (units, filters), `"input"` (features, channels) or `"head"`, which is
            `Heads`: of all variables of an attention together. The units of the model's outputs
            are left out unless `include` names them.
        gates: see `kerasreg.regularizers.GroupLasso`.

    Example:

    >>> layers = [keras.layers.Dense(6, name="dense"), keras.layers.Dense(2, name="last")]
    >>> model = keras.Sequential([keras.Input((8,)), *layers], name="net")
    >>> plan = kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Group("output"))
    >>> kerasreg.statistics(model)["net/dense/kernel"].dead_units
    3
    """

    def __init__(self, axis: int | tuple[int, ...] | str = "output", gates: int = 1):
        self.groups = Groups(axis, gates)

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        if self.groups.axis == "head":
            return Heads().find(model, include, exclude, caller)
        return super().find(model, include, exclude, caller)

    @property
    def is_joint(self) -> bool:  # type: ignore[override]
        return self.groups.axis == "head"

    @property
    def no_regrowth(self) -> str | None:
        return Heads().no_regrowth if self.is_joint else None

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        groups = self.groups
        if isinstance(groups.axis, str):
            if groups.axis not in roles:
                raise ValueError(f"it has no known axis of the kind {groups.axis!r}")
            groups = roles[groups.axis]
        groups.check(variable.shape)
        return _Groups(tuple(variable.shape), groups)


#: What the short names of `pattern` mean.
NAMES = {
    "unstructured": Unstructured,
    "2:4": lambda: NM(2, 4),
    "unit": Group,
    "input": lambda: Group("input"),
    "head": Heads,
    "coupled": Coupled,
}


def standardize_pattern(pattern):
    """A `Pattern` from what users may pass: a name or a pattern."""
    if isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, str) and pattern in NAMES:
        return NAMES[pattern]()
    expected = f"one of {list(NAMES)} or a pattern of `kerasreg.patterns`"
    raise validation.invalid("pattern", pattern, expected)


class _Weights(Units):
    is_loose = True

    def __init__(self, shape, limit=None, remark=None):
        super().__init__(shape, math.prod(shape), 1, limit, remark)

    def _scores(self, scores):
        return scores.reshape(-1)

    def gather(self, alive):
        return alive.reshape(-1)

    def spread(self, units):
        return units.reshape(self.shape)


class _Candidates(_Weights):
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


class _Groups(Units):
    is_loose = True

    def __init__(self, shape, groups):
        self.groups = groups
        self._view, self._axes = groups.layout(shape)
        size = groups.size(shape)
        super().__init__(shape, math.prod(shape) // size if size else 0, size)

    def gather(self, alive):
        return alive.reshape(self._view).any(axis=self._axes).reshape(-1)

    def spread(self, units):
        kept = [1 if axis in self._axes else size for axis, size in enumerate(self._view)]
        return np.broadcast_to(units.reshape(kept), self._view).reshape(self.shape)

    def _scores(self, scores):
        # Negative scores, as those of movement, keep their order.
        view = scores.astype("float64", copy=False).reshape(self._view)
        square = np.mean(np.sign(view) * np.square(view), axis=self._axes)
        return (np.sign(square) * np.sqrt(np.abs(square))).reshape(-1)


class _Blocks(Units):
    is_loose = True

    def __init__(self, shape, block, pooling):
        self._block, self._pooling = block, pooling
        self._grid = tuple(-(-size // step) for size, step in zip(shape, block, strict=True))
        super().__init__(shape, math.prod(self._grid), math.prod(block))
        if any(size % step for size, step in zip(shape, block, strict=True)):
            self.sizes = self._reduce(np.ones(shape, "int64"), np.add)
            self.remark = f"blocks of {block} do not divide {shape}: smaller ones at the edges"

    def gather(self, alive):
        return self._reduce(alive, np.logical_or)

    def spread(self, units):
        wide = units.reshape(self._grid)
        for axis, size in enumerate(self._block):
            wide = np.repeat(wide, size, axis=axis)
        return wide[tuple(slice(size) for size in self.shape)]

    def _scores(self, scores):
        if self._pooling == "max":
            return self._reduce(scores, np.maximum)
        return self._reduce(scores.astype("float64"), np.add) / self.sizes

    def _reduce(self, array, function):
        """One number per block. Long strides are much faster than short axes."""
        for axis, step in enumerate(self._block):
            before = (slice(None),) * axis
            total = array[(*before, slice(0, None, step))].copy()
            for start in range(1, step):
                part = array[(*before, slice(start, None, step))]
                whole = total[(*before, slice(part.shape[axis]))]
                function(whole, part, out=whole)
            array = total
        return array.reshape(-1)
