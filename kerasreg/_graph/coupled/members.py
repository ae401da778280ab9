"""The parts of variables that belong to coupled units."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

PRODUCER, CONSUMER, PASSIVE = "producer", "consumer", "passive"


@dataclass(frozen=True)
class Member:
    """The part of one variable that belongs to the units of a group.

    Attributes:
        path: path of the variable.
        variable: the variable.
        axis: the axis along which the units lie.
        indices: int array `(units, k)`, the indices of every unit along that axis.
        role: `"producer"` if it computes the units (columns of kernels, biases, gains and offsets
            of normalizations), `"consumer"` if it reads them (rows of kernels), `"passive"` if it
            is only removed with them (moving averages, slopes of activations).
    """

    path: str
    variable: keras.Variable
    axis: int
    indices: np.ndarray
    role: str

    @property
    def size(self) -> int:
        """Number of weights per unit."""
        shape = tuple(self.variable.shape)
        return self.indices.shape[1] * math.prod(shape) // shape[self.axis]

    def gather(self, array):
        """Returns the weights of every unit, `(units, size)`.

        Args:
            array: an array or tensor of the shape of the variable.
        """
        own = np if isinstance(array, np.ndarray) else ops
        moved = own.moveaxis(array, self.axis, 0)
        if not self._is_all:
            moved = own.take(moved, self.indices.reshape(-1), axis=0)
        return own.reshape(moved, (len(self.indices), self.size))

    def scatter(self, array, rows):
        """Returns `array` with the rows that `gather` returned replaced by `rows`."""
        if isinstance(array, np.ndarray):
            array = array.copy()
            moved = np.moveaxis(array, self.axis, 0)
            moved[self.indices] = rows.reshape((*self.indices.shape, *moved.shape[1:]))
            return array
        moved = ops.moveaxis(array, self.axis, 0)
        rows = ops.reshape(rows, (self.indices.size, *moved.shape[1:]))
        if not self._is_all:
            rows = ops.scatter_update(moved, self.indices.reshape(-1, 1), rows)
        return ops.moveaxis(rows, 0, self.axis)

    def mask(self, units):
        """Returns a bool array of the shape of the variable, True for weights of these units."""
        shape = tuple(self.variable.shape)
        along = np.zeros(shape[self.axis], bool)
        along[self.indices[units]] = True
        view = [-1 if axis == self.axis else 1 for axis in range(len(shape))]
        return np.broadcast_to(along.reshape(view), shape)

    @property
    def _is_all(self):
        return np.array_equal(self.indices.reshape(-1), range(self.variable.shape[self.axis]))
