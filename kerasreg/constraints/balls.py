"""Bounds of the size of a group of weights: balls and the simplex."""

import keras

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.constraints.base import GroupProjection


class _OfRadius(GroupProjection):
    def __init__(self, radius=1.0, axis=None, gates=1):
        super().__init__(axis, gates)
        self.radius = validation.number(radius, "radius", above=0)

    def get_config(self):
        return {"radius": self.radius, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class Simplex(_OfRadius):
    """`w >= 0` and `sum(w) = radius` in every group: proportions, many of them exactly zero.

    The projection is `max(w - s * step, 0)` with the `s` that gives this sum (Duchi et al., 2008).
    It is exact for one step per weight.

    Args:
        radius: the sum, finite and > 0.
        axis: int or tuple of ints: the axes along which the weights of a group lie, as in
            `keras.constraints.MaxNorm`. `axis=0` makes each unit of a dense kernel a group,
            `axis=(0, 1, 2)` each filter of a `Conv2D`. None makes all weights one group. (The
            `axis` of `kerasreg.regularizers.GroupLasso` is the one that stays.)
        gates: the one axis that is left holds this many equal blocks, and index j of every block
            belongs to the same group: 4 for the kernels of an LSTM.

    Raises:
        ValueError: for a bad radius or axis, and, when it meets the weights, for an axis that they
            do not have.

    Example:

    >>> constraint = kerasreg.constraints.Simplex()
    >>> np.asarray(constraint(np.array([1.0, 0.5, -0.5]))).tolist()
    [0.75, 0.25, 0.0]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_simplex, weights, step, self.radius)


@keras.saving.register_keras_serializable("kerasreg")
class L1Ball(_OfRadius):
    """`sum(|w|) <= radius` in every group: the constraint form of the lasso (Tibshirani, 1996).

    The projection of a larger group is `sign(w) max(|w| - s * step, 0)` with the `s` that gives
    `radius` (Duchi et al., 2008). It is exact for one step per weight.

    Args:
        radius: the largest sum, finite and > 0.
        axis, gates: the groups, as in `Simplex`.

    Raises:
        ValueError: as `Simplex`.

    Example:

    >>> constraint = kerasreg.constraints.L1Ball(radius=2.0, axis=0)
    >>> np.asarray(constraint(np.array([[2.0, 1.0], [-1.0, -1.0]]))).tolist()
    [[1.5, 1.0], [-0.5, -1.0]]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_l1_ball, weights, step, self.radius)


@keras.saving.register_keras_serializable("kerasreg")
class L2Ball(_OfRadius):
    """`||w||_2 <= radius` in every group: what `keras.constraints.MaxNorm` approximates.

    The projection of a larger group is `w / (1 + s * step)` with the `s` that gives `radius`: for
    equal steps, the group is scaled. It is exact for one step per weight.

    Args:
        radius: the largest norm, finite and > 0.
        axis, gates: the groups, as in `Simplex` and `MaxNorm`.

    Raises:
        ValueError: as `Simplex`.

    Example:

    >>> constraint = kerasreg.constraints.L2Ball(radius=2.5, axis=0)
    >>> np.asarray(constraint(np.array([[3.0, 1.0], [4.0, 1.0]]))).round(6).tolist()
    [[1.5, 1.0], [2.0, 1.0]]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_l2_ball, weights, step, self.radius)
