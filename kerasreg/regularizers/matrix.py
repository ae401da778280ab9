"""Penalties of the rank of a kernel."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._graph.groups import Groups
from kerasreg._graph.roles import groups_of
from kerasreg._prox.matrix import svd
from kerasreg.regularizers.base import Regularizer


class MatrixRegularizer(Regularizer):
    """A penalty of a matrix with one column per index of `axis`; one step for all weights."""

    def __init__(self, factor=0.01, axis=-1):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.groups = Groups(axis)

    def check(self, shape, name="weights"):
        self.groups.check(shape, name)

    def for_variable(self, variable, roles):
        if not isinstance(self.groups.axis, str):
            return super().for_variable(variable, roles)
        groups = groups_of(variable, roles, self.groups.axis)
        if groups.gates > 1:
            raise ValueError(
                f"'{variable.path}' has {groups.gates} gates side by side, which are matrices of "
                f"their own. Pass an int `axis`. Received: axis={self.groups.axis!r}"
            )
        return type(self)(self.factor, groups.axis)

    def step_shape(self, shape):
        return ()

    def get_config(self):
        return {"factor": self.factor, "axis": self.groups.axis}

    def _prox(self, weights, step):
        if not self.factor:
            return weights
        matrix, back = self._matrix(weights)
        return back(self._matrix_prox(matrix, self.factor * ops.reshape(step, ())))

    def _matrix(self, weights):
        """The matrix, and the function that makes weights of it again."""
        shape, rows = self.groups.layout(weights.shape)
        columns = tuple(axis for axis in range(len(shape)) if axis not in rows)
        order = rows + columns
        moved = ops.transpose(weights, order)
        sizes = [math.prod(shape[axis] for axis in axes) for axes in (rows, columns)]
        matrix = ops.reshape(moved, sizes)

        def back(matrix):
            return ops.transpose(ops.reshape(matrix, moved.shape), np.argsort(order).tolist())

        return matrix, back

    def _singular(self, matrix):
        """`(left, alive, right)`: the singular vectors, and 1 for values that are not zero."""
        left, values, right, _ = svd(ops.stop_gradient(matrix))
        epsilon = float(np.finfo(keras.backend.standardize_dtype(values.dtype)).eps)
        rounding = epsilon * max(matrix.shape) * ops.max(values)
        return left, ops.cast(values > rounding, matrix.dtype), right


@keras.saving.register_keras_serializable("kerasreg")
class NuclearNorm(MatrixRegularizer):
    """`factor * sum_k sigma_k(W)`: kernels of low rank (Fazel, 2002).

    `W` has one column per index of `axis`, and `sigma` are its singular values. A kernel of rank r
    is two thin ones. The prox is `U max(sigma - factor * step, 0) V^T` (Cai et al., 2010). It takes
    one step for all weights, and a singular value decomposition: that of TensorFlow is slow under
    XLA, so compile a model of large kernels with `jit_compile=False` there.

    Args:
        factor: finite and >= 0.
        axis: int, or tuple of ints (one column per combination of their indices).

    Raises:
        ValueError: for a bad factor or axis, and, when it meets the weights, for an axis that
            they do not have.

    Example:

    >>> regularizer = kerasreg.regularizers.NuclearNorm(1.0)
    >>> kernel = np.array([[2.0, 2.0], [2.0, 2.0]])
    >>> round(float(regularizer(kernel)), 6)
    4.0
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(6).tolist()
    [[1.5, 1.5], [1.5, 1.5]]
    """

    def _value(self, weights):
        matrix, _ = self._matrix(weights)
        left, alive, right = self._singular(matrix)
        # `sum(sigma)` with its gradient, U V^T; that of the decomposition divides by the
        # differences of singular values.
        return self.factor * ops.sum(matrix * ((left * alive) @ right))

    def _matrix_prox(self, matrix, threshold):
        return operators.singular_soft_threshold(matrix, threshold)


@keras.saving.register_keras_serializable("kerasreg")
class Rank(MatrixRegularizer):
    """`factor * rank(W)`: kernels of low rank, whose other singular values stay as they are.

    `W` has one column per index of `axis`. The prox keeps the singular values above
    `sqrt(2 * factor * step)` (Blumensath & Davies, 2008, for matrices). The value counts; it has no
    gradient, so only `kerasreg.callbacks.ProximalGradient` makes this penalty act. Steps and cost
    are those of `NuclearNorm`.

    Args:
        factor: finite and >= 0.
        axis: int, or tuple of ints (one column per combination of their indices).

    Raises:
        ValueError: as `NuclearNorm`.

    Example:

    >>> regularizer = kerasreg.regularizers.Rank(0.5)
    >>> kernel = np.array([[3.0, 0.0], [0.0, 0.9]])
    >>> float(regularizer(kernel))
    1.0
    >>> np.asarray(regularizer.prox(kernel, step=1.0)).round(6).tolist()
    [[3.0, 0.0], [0.0, 0.0]]
    """

    def _value(self, weights):
        matrix, _ = self._matrix(weights)
        _, alive, _ = self._singular(matrix)
        # The second term is a gradient of zero, and keeps NaN and infinity visible.
        return self.factor * (ops.sum(alive) + ops.sum(0.0 * matrix))

    def _matrix_prox(self, matrix, threshold):
        return operators.singular_hard_threshold(matrix, threshold)
