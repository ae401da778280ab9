"""Hoyer-Square and spectral norm: penalties without a proximal operator."""

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
    """`factor * (sum |w|)^2 / sum w^2`: a smooth number of weights (DeepHoyer; Yang et al., 2020).

    The penalty is `factor` for a single non-zero weight, `factor * size` if all weights are equally
    large, and 0 if all are zero. It does not depend on the scale of the weights. A layer therefore
    cannot lower it by smaller weights that larger weights of the next layer compensate.

    The gradient, which grows as `1 / ||w||`, makes weights small but not exactly zero: prune them
    after training. It has no proximal operator: `ProximalGradient` leaves it in the loss, and its
    gradient trains the weights.

    Args:
        factor: finite float >= 0, the regularization factor.

    Raises:
        ValueError: if `factor` is negative or not a finite number.

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
    """`factor * (sum_g ||w_g||)^2 / sum w^2`: a smooth number of groups (Yang et al., 2020).

    `HoyerSquare` of the norms of groups: units, filters, input features or attention heads. It has
    no proximal operator: `ProximalGradient` leaves it in the loss, and its gradient trains the
    weights.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints, or a name for `kerasreg.attach`, as in `GroupLasso`.
        gates: as in `GroupLasso`.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis.

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
    """`factor * sigma^2`, the largest singular value squared (Yoshida & Miyato, 2017).

    `sigma` bounds how much a layer amplifies its input, and hence how sensitive the model is to
    noise. The kernel, of any rank, is a matrix with one column per index of `axis`. For a
    convolution, `sigma` bounds the amplification of each patch; that of the whole input is at most
    `sqrt(size of the window)` times larger.

    `sigma` is estimated by power iteration from a fixed random start. The estimate is never too
    large; its relative error decays as `(sigma_2 / sigma)^(4 * power_iterations)`. For Gaussian
    matrices, whose singular values are close to each other, it is 1 % too small with the default,
    and at worst 5 %. The gradient is that of `u^T W v`, where `u` and `v` are the singular vectors.
    It has no proximal operator: `ProximalGradient` leaves it in the loss, and its gradient trains
    the weights.

    Args:
        factor: finite float >= 0, the regularization factor.
        axis: int, tuple of ints, or a name for `kerasreg.attach`, as in `GroupLasso`.
        gates: as in `GroupLasso`.
        power: int, 2 for `factor * sigma^2` or 1 for `factor * sigma`.
        power_iterations: int >= 1, the number of power iterations. Each costs two matrix-vector
            products.

    Raises:
        ValueError: if an argument is invalid, or, when the regularizer is applied, if the weights
            do not have this axis.

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
        # `ops.matmul` computes in float32 on torch.
        transposed = ops.transpose(matrix)
        # A regular start, such as ones, may be orthogonal to the singular vector of a sparse or
        # symmetric kernel.
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
    """Returns `(sum sizes)^2 / sum sizes^2`, with a zero gradient if all sizes are zero."""
    squares = ops.sum(ops.square(sizes))
    return ops.square(ops.sum(sizes)) / ops.where(squares == 0, ops.ones_like(squares), squares)


def _scaled(weights):
    """Returns `weights / max|w|`, with a constant scale, so that squares do not overflow."""
    scale = ops.stop_gradient(ops.max(ops.abs(weights)))
    return weights / ops.where(scale == 0, ops.ones_like(scale), scale)


def _normalized(vector):
    norm = ops.sqrt(ops.sum(ops.square(vector)))
    return vector / ops.where(norm == 0, ops.ones_like(norm), norm)
