"""Smooth substitutes of counts, and the spectral norm: penalties that have a gradient only."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Axis
from kerasreg.regularizers.base import (
    Penalty,
    absolute,
    safe_sqrt,
)
from kerasreg.regularizers.group import GroupPenalty
from kerasreg.regularizers.orthogonal import MatrixPenalty


@keras.saving.register_keras_serializable("kerasreg")
class HoyerSquare(Penalty):
    """`factor * (sum |w|)^2 / sum w^2`: counts weights, smoothly (DeepHoyer; Yang et al., 2020).

    From `factor`, for a single weight that is not zero, to `factor * size`, when all are equally
    large; 0 when all are zero. The scale of the weights does not matter, so no layer can evade it
    by becoming smaller while the next one grows.

    The gradient, which grows as `1 / ||w||`, makes weights small but not exactly zero: prune them
    afterwards. Has no prox: `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.

    Raises:
        ValueError: for a factor that is negative, not finite, or not a number.

    Example:

    >>> regularizer = kerasreg.regularizers.HoyerSquare(1.0)
    >>> [float(regularizer(np.array(w))) for w in ([0.0, 5.0], [2.0, -2.0], [0.0, 0.0])]
    [1.0, 2.0, 0.0]
    """

    def __init__(self, factor: float = 0.01):
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        return self.factor * _hoyer_square(absolute(_scaled(weights)))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


@keras.saving.register_keras_serializable("kerasreg")
class GroupHoyerSquare(GroupPenalty):
    """`factor * (sum_g ||w_g||)^2 / sum w^2`: counts groups, smoothly (Yang et al., 2020).

    As `HoyerSquare`, for units, filters, input features or heads. Has no prox: `ProximalGradient`
    leaves it its gradient.

    Args:
        factor: finite and >= 0.
        axis: int, tuple of ints, or a name for `kerasreg.attach`, as in `GroupLasso`.
        gates: as in `GroupLasso`.

    Raises:
        ValueError: for a bad factor or axis, and, when it meets the weights, for an axis that
            they do not have.

    Example:

    >>> regularizer = kerasreg.regularizers.GroupHoyerSquare(1.0, axis=-1)
    >>> [float(regularizer(np.array(w))) for w in ([[3.0, 0.0], [4.0, 0.0]], [[3.0, 3.0]])]
    [1.0, 2.0]
    """

    def __init__(self, factor: float = 0.01, axis: Axis = -1, gates: int = 1):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)

    def _value(self, weights):
        view, axes = self.groups.layout(weights.shape)
        squares = ops.sum(ops.square(ops.reshape(_scaled(weights), view)), axis=axes)
        return self.factor * _hoyer_square(safe_sqrt(squares))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class SpectralNorm(MatrixPenalty):
    """`factor * sigma^2`, `sigma` the largest singular value (Yoshida & Miyato, 2017).

    Bounds how much a layer amplifies its input, and so how sensitive the model is to noise. The
    kernel, of any rank, is the matrix with one column per index of `axis`. (Of a convolution, this
    bounds each patch: the gain of the whole map is at most `sqrt(size of the window)` times it.)

    `sigma` is found by power iteration from a fixed random start. It is never too large; the
    relative error decays as `(sigma_2 / sigma)^(4 * power_iterations)`. For Gaussian matrices,
    whose singular values are close to each other, the default is 1 % too small, at worst 5 %. The
    gradient is that of `u^T W v`, with `u` and `v` the singular vectors. Has no prox:
    `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.
        axis: int, tuple of ints, or a name for `kerasreg.attach`, as in `GroupLasso`.
        gates: as in `GroupLasso`.
        power: 2, or 1 for `factor * sigma`.
        power_iterations: of the power iteration, at least 1; each costs two products with a vector.

    Raises:
        ValueError: for a bad argument, and, when it meets the weights, for an axis that they do
            not have.

    Example:

    >>> regularizer = kerasreg.regularizers.SpectralNorm(0.1)
    >>> round(float(regularizer(np.array([[3.0, 0.0], [0.0, -4.0]]))), 5)
    1.6
    """

    def __init__(
        self,
        factor: float = 0.01,
        axis: Axis = -1,
        gates: int = 1,
        power: int = 2,
        power_iterations: int = 30,
    ):
        super().__init__(axis, gates)
        self.factor = validation.number(factor, "factor", at_least=0)
        self.power = validation.integer(power, "power", at_least=1, at_most=2)
        self.power_iterations = validation.integer(power_iterations, "power_iterations", at_least=1)

    def _value(self, weights):
        matrix = self._matrix(weights)
        left, right = self._singular_vectors(ops.stop_gradient(_scaled(matrix)))
        sigma = ops.sum(left * (matrix @ right))
        return self.factor * sigma**self.power

    def _singular_vectors(self, matrix):
        # Not `ops.matmul`, which computes in float32 on torch.
        transposed = ops.transpose(matrix)
        # A vector of a simple form may be orthogonal to that of a sparse or symmetric kernel.
        start = np.random.default_rng(0).normal(size=(matrix.shape[0], 1))
        left = ops.convert_to_tensor(start, matrix.dtype)
        for _ in range(self.power_iterations):
            right = _normalized(transposed @ left)
            left = _normalized(matrix @ right)
        return left, right

    def get_config(self) -> dict[str, Any]:
        return {
            "factor": self.factor,
            **super().get_config(),
            "power": self.power,
            "power_iterations": self.power_iterations,
        }


def _hoyer_square(sizes):
    """`(sum sizes)^2 / sum sizes^2`, with a zero gradient where all are zero."""
    squares = ops.sum(ops.square(sizes))
    return ops.square(ops.sum(sizes)) / ops.where(squares == 0, ops.ones_like(squares), squares)


def _scaled(weights):
    """`weights / max|w|`, the scale a constant: their squares neither overflow nor vanish."""
    scale = ops.stop_gradient(ops.max(ops.abs(weights)))
    return weights / ops.where(scale == 0, ops.ones_like(scale), scale)


def _normalized(vector):
    norm = ops.sqrt(ops.sum(ops.square(vector)))
    return vector / ops.where(norm == 0, ops.ones_like(norm), norm)
