"""Orthogonal kernels: penalties that have a gradient only."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg.regularizers.base import Penalty
from kerasreg.regularizers.group import GroupPenalty


class MatrixPenalty(GroupPenalty):
    """A penalty of a kernel read as a matrix whose columns are the groups."""

    def _matrix(self, weights):
        view, axes = self.groups.layout(weights.shape)
        kept = tuple(axis for axis in range(len(view)) if axis not in axes)
        matrix = ops.transpose(ops.reshape(weights, view), (*axes, *kept))
        return ops.reshape(matrix, (self.groups.size(weights.shape), -1))


@keras.saving.register_keras_serializable("kerasreg")
class Orthogonal(MatrixPenalty):
    """`factor * ||W^T W - I||_F^2`: columns that are orthogonal, of length 1 (Brock et al., 2017).

    Keeps activations and gradients from growing or vanishing with depth. `W` is the kernel, of any
    rank, as a matrix: one column per index of `axis`, which holds all weights of this index. When
    there are more columns than rows they cannot be orthogonal. Then it is the rows that shall be:
    `||W W^T - I||_F^2`, which is smaller by a constant and has the same gradient.

    Has no prox: `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.
        axis: int, tuple of ints (one column per combination of their indices), or, with
            `kerasreg.attach`, `"output"`, `"input"` or `"head"`; see `GroupLasso`.
        gates: the axis holds this many equal blocks, and index j of every block belongs to the
            same column.
        unit_norm: whether the columns shall be of length 1. If False, only the products of
            different columns count, not the diagonal (Brock et al., 2019).

    Raises:
        ValueError: for a bad argument, and, when it meets the weights, for an axis that they do
            not have.

    Example:

    >>> regularizer = kerasreg.regularizers.Orthogonal(1.0)
    >>> float(regularizer(np.array([[1.0, 0.0], [0.0, -1.0]])))
    0.0
    >>> float(regularizer(np.array([[1.0, 1.0], [0.0, 0.0]])))
    2.0
    """

    def __init__(
        self, factor: float = 0.01, axis: Axis = -1, gates: int = 1, unit_norm: bool = True
    ):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)
        meaning = "and `axis` chooses between rows and columns"
        self.unit_norm = validation.flag(unit_norm, "unit_norm", meaning)

    def _value(self, weights):
        matrix = self._matrix(weights)
        rows, columns = matrix.shape
        if columns > rows:
            matrix = ops.transpose(matrix)
        # Not `ops.matmul`, which computes in float32 on torch.
        gram = ops.transpose(matrix) @ matrix
        eye = ops.eye(min(rows, columns), dtype=gram.dtype)
        expected = eye if self.unit_norm else eye * gram
        return self.factor * ops.sum(ops.square(gram - expected))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config(), "unit_norm": self.unit_norm}


@keras.saving.register_keras_serializable("kerasreg")
class ConvOrthogonal(Penalty):
    """`factor * ||conv(K, K) - I||^2`: a convolution whose filters are orthogonal at every shift.

    What `Orthogonal` is for a matrix, this is for the whole linear map that a convolution is, with
    patches that overlap (Wang et al., 2020). The kernel slides over itself by multiples of
    `strides`: each filter shall be of length 1, and orthogonal to every shift of every filter but
    itself in place. Possible for at most `input * strides^2` (in 1-D `input * strides`) filters.

    For the kernels of `Conv1D` and `Conv2D`, `(*window, input, output)`, without dilation. Has no
    prox: `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.
        strides: that of the layer, the same in every direction.

    Raises:
        ValueError: for a bad argument, and for weights that are not of rank 3 or 4.

    Example:

    >>> regularizer = kerasreg.regularizers.ConvOrthogonal(1.0)
    >>> float(regularizer(np.array([0.0, 1.0, 0.0]).reshape(3, 1, 1)))
    0.0
    >>> float(regularizer(np.array([1.0, 1.0, 0.0]).reshape(3, 1, 1)))
    3.0
    """

    def __init__(self, factor: float = 0.01, strides: int = 1):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.strides = validation.integer(strides, "strides", at_least=1)

    def check(self, shape: Shape, name: str = "weights") -> None:
        if len(shape) not in (3, 4):
            raise ValueError(
                "`ConvOrthogonal` is for the kernels of Conv1D and Conv2D, of shape "
                f"(*window, input, output). Received: {name} of shape {tuple(shape)}. For others, "
                "use `Orthogonal`."
            )

    def _value(self, weights):
        *window, _, filters = weights.shape
        shifts = [(size - 1) // self.strides for size in window]
        edges = [(shift * self.strides,) * 2 for shift in shifts]
        images = ops.pad(ops.moveaxis(weights, -1, 0), [(0, 0), *edges, (0, 0)])
        overlaps = ops.conv(
            images, weights, self.strides, padding="valid", data_format="channels_last"
        )
        # In place, where nothing is shifted, a filter overlaps with itself alone.
        in_place = np.zeros(overlaps.shape)
        in_place[:, *shifts] = np.eye(filters)
        in_place = ops.convert_to_tensor(in_place, weights.dtype)
        return self.factor * ops.sum(ops.square(overlaps - in_place))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "strides": self.strides}
