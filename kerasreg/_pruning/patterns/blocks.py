"""Rectangular blocks of weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.units import Units


class Block(Pattern):
    """Rectangular blocks of weights, which block-sparse kernels can skip.

    Args:
        shape: the shape of the blocks, a tuple of ints for the last axes; the size of a block along
            earlier axes is 1. For a convolution, `(4, 4)` is a block of 4 inputs by 4 filters at
            each position of the kernel. Blocks at the edges may be smaller.
        pooling: how the score of a block is computed from the scores of its weights: `"mean"` or
            `"max"`.

    Raises:
        ValueError: for invalid arguments.

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


class _Blocks(Units):
    is_loose = True

    def __init__(self, shape, block, pooling):
        self._block, self._pooling = block, pooling
        self._grid = tuple(-(-size // step) for size, step in zip(shape, block, strict=True))
        super().__init__(shape, math.prod(self._grid), math.prod(block))
        if any(size % step for size, step in zip(shape, block, strict=True)):
            self.sizes = self._reduce(np.ones(shape, "int64"), np.add)
            self.remark = f"blocks of {block} do not divide {shape}: those at the edges are smaller"

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
        """Returns one number per block. Long strides are much faster than short axes."""
        for axis, step in enumerate(self._block):
            before = (slice(None),) * axis
            total = array[(*before, slice(0, None, step))].copy()
            for start in range(1, step):
                part = array[(*before, slice(start, None, step))]
                whole = total[(*before, slice(part.shape[axis]))]
                function(whole, part, out=whole)
            array = total
        return array.reshape(-1)
