"""Penalties of non-orthogonal kernels. They have no proximal operator."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Axis, Shape
from kerasreg.regularizers.base import Penalty
from kerasreg.regularizers.group import GroupPenalty


class MatrixPenalty(GroupPenalty):
    """A penalty of a kernel as a matrix with one column per group."""

    def _matrix(self, weights):
        view, axes = self.groups.layout(weights.shape)
        kept = tuple(axis for axis in range(len(view)) if axis not in axes)
        matrix = ops.transpose(ops.reshape(weights, view), (*axes, *kept))
        return ops.reshape(matrix, (self.groups.size(weights.shape), -1))


@keras.saving.register_keras_serializable("kerasreg")
class Orthogonal(MatrixPenalty):
    """`factor * ||W^T W - I||_F^2`: orthonormal columns (Brock et al., 2017).

    Prevents exploding and vanishing activations and gradients in deep models. `W` is the kernel, of
    any rank, as a matrix with one column per index of `axis`. If it has more columns than rows, the
    columns cannot be orthogonal. Then the rows are penalized instead: `||W W^T - I||_F^2`, which is
    smaller by a constant and has the same gradient.

    It has no proximal operator: `ProximalGradient` leaves it in the loss, and its gradient trains
    the weights.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints (one column per combination of their indices), or a name for
            `kerasreg.attach`, as in `GroupLasso`.
        gates: int >= 1. The axis consists of this many blocks of equal size, and index j of every
            block belongs to the same column.
        unit_norm: bool, whether the columns should have length 1. If False, only the products of
            different columns are penalized, not the diagonal (Brock et al., 2019).

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis.

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
        # `ops.matmul` computes in float32 on torch.
        gram = ops.transpose(matrix) @ matrix
        eye = ops.eye(min(rows, columns), dtype=gram.dtype)
        expected = eye if self.unit_norm else eye * gram
        return self.factor * ops.sum(ops.square(gram - expected))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config(), "unit_norm": self.unit_norm}


@keras.saving.register_keras_serializable("kerasreg")
class ConvOrthogonal(Penalty):
    """`factor * ||conv(K, K) - I||^2`: orthogonal convolutions (Wang et al., 2020).

    `Orthogonal` treats each patch separately. This penalty treats a convolution as one linear map
    of the whole input, in which patches overlap. The kernel is convolved with itself in shifts of
    `strides`. The penalty is zero if each filter has length 1 and is orthogonal to every shift of
    every filter, except to itself at shift zero. This is possible for at most `input * strides^2`
    filters (in 1-D, `input * strides`).

    For the kernels of `Conv1D` and `Conv2D`, `(*window, input, output)`, without dilation. It has
    no proximal operator: `ProximalGradient` leaves it in the loss, and its gradient trains the
    weights.

    Args:
        factor: finite float >= 0, the regularization factor.
        strides: int >= 1, the strides of the layer, equal in every direction.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have rank 3 or 4.

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
                f"(*window, input, output). Received: {name} of shape {tuple(shape)}. For other "
                "kernels, use `Orthogonal`."
            )

    def _value(self, weights):
        *window, _, filters = weights.shape
        shifts = [(size - 1) // self.strides for size in window]
        edges = [(shift * self.strides,) * 2 for shift in shifts]
        images = ops.pad(ops.moveaxis(weights, -1, 0), [(0, 0), *edges, (0, 0)])
        overlaps = ops.conv(
            images, weights, self.strides, padding="valid", data_format="channels_last"
        )
        # At shift zero, only the product of a filter with itself may be non-zero.
        in_place = np.zeros(overlaps.shape)
        in_place[:, *shifts] = np.eye(filters)
        in_place = ops.convert_to_tensor(in_place, weights.dtype)
        return self.factor * ops.sum(ops.square(overlaps - in_place))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "strides": self.strides}
