"""Penalties of the rank of a kernel: nuclear norm and rank."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg._graph.groups import Groups
from kerasreg._graph.roles import groups_of
from kerasreg._prox.matrix import svd
from kerasreg.regularizers.at_build import NamedAxis
from kerasreg.regularizers.base import Regularizer


class MatrixRegularizer(NamedAxis, Regularizer):
    """A penalty of a kernel as a matrix with one column per index of `axis`.

    Its proximal operator takes one step for all weights.
    """

    is_fusible = False

    def __init__(self, factor=0.01, axis=-1):
        self.factor = validation.number(factor, "factor", at_least=0)
        self.groups = Groups(axis)

    def for_variable(self, variable, roles):
        if not isinstance(self.groups.axis, str):
            return super().for_variable(variable, roles)
        groups = groups_of(variable, roles, self.groups.axis)
        if groups.gates > 1:
            raise ValueError(
                f"`{type(self).__name__}` does not support axis names for '{variable.path}', which "
                f"concatenates the matrices of {groups.gates} gates. Pass an int `axis`, which "
                f"treats them as one matrix. Received: axis={self.groups.axis!r}"
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
        """Returns the weights as a matrix, and the inverse function."""
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
        """Returns `(left, alive, right)`: singular vectors, and 1 per non-zero singular value."""
        left, values, right, _ = svd(ops.stop_gradient(matrix))
        epsilon = float(np.finfo(keras.backend.standardize_dtype(values.dtype)).eps)
        rounding = epsilon * max(matrix.shape) * ops.max(values)
        return left, ops.cast(values > rounding, matrix.dtype), right


@keras.saving.register_keras_serializable("kerasreg")
class NuclearNorm(MatrixRegularizer):
    """`factor * sum_k sigma_k(W)`: kernels of low rank (Fazel, 2002).

    `W` is the kernel as a matrix with one column per index of `axis`, and `sigma` are its singular
    values. A kernel of rank r can be factorized into two smaller ones. The proximal operator is `U
    max(sigma - factor * step, 0) V^T` (Cai et al., 2010). It takes one step size for all weights
    and needs a singular value decomposition. TensorFlow's is slow under XLA: for large kernels,
    compile the model with `jit_compile=False`.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints (one column per combination of their indices), or a name for
            `kerasreg.attach`, as in `GroupLasso`.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis.

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
        # This is `sum(sigma)` with the gradient U V^T. The gradient of the decomposition divides by
        # the differences of singular values.
        return self.factor * ops.sum(matrix * ((left * alive) @ right))

    def _matrix_prox(self, matrix, threshold):
        return operators.singular_soft_threshold(matrix, threshold)


@keras.saving.register_keras_serializable("kerasreg")
class Rank(MatrixRegularizer):
    """`factor * rank(W)`: kernels of low rank, without shrinking the other singular values.

    `W` is the kernel as a matrix with one column per index of `axis`. The proximal operator sets
    singular values of at most `sqrt(2 * factor * step)` to zero and keeps the others: hard
    thresholding (Blumensath & Davies, 2008) of singular values. The gradient is zero, so that the
    penalty has no effect without `kerasreg.callbacks.ProximalGradient`. Step size and cost are as
    in `NuclearNorm`.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints (one column per combination of their indices), or a name for
            `kerasreg.attach`, as in `GroupLasso`.

    Raises:
        ValueError: as in `NuclearNorm`.

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
        # The second term has a zero gradient, and is NaN if a weight is not finite.
        return self.factor * (ops.sum(alive) + ops.sum(0.0 * matrix))

    def _matrix_prox(self, matrix, threshold):
        return operators.singular_hard_threshold(matrix, threshold)
