"""Constraints on the norm or sum of groups of weights: balls and the simplex."""

import keras

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.constraints.base import GroupProjection


class _OfRadius(GroupProjection):
    """A constraint of groups with a `radius`."""

    def __init__(self, radius=1.0, axis=None, gates=1):
        super().__init__(axis, gates)
        self.radius = validation.number(radius, "radius", above=0)

    def get_config(self):
        return {"radius": self.radius, **super().get_config()}


@keras.saving.register_keras_serializable("kerasreg")
class Simplex(_OfRadius):
    """`w >= 0` and `sum(w) = radius` in every group: sparse proportions.

    The projection is `max(w - s * step, 0)`, where `s` is chosen such that the sum is `radius`
    (Duchi et al., 2008). Many weights become exactly zero. It is exact also for one step size per
    weight.

    Args:
        radius: finite float > 0, the sum of each group.
        axis: int, tuple of ints, or None. The axes along which the weights of a group lie, as in
            `keras.constraints.MaxNorm`: `axis=0` makes each unit of a `Dense` kernel a group,
            `axis=(0, 1, 2)` each filter of a `Conv2D` kernel. None makes all weights one group. (In
            `kerasreg.regularizers.GroupLasso`, `axis` is the axis that indexes the groups.)
        gates: int >= 1. The single axis that is not in `axis` consists of this many blocks of equal
            size, and index j of every block belongs to the same group: 4 for the kernels of an
            LSTM.

    Raises:
        ValueError: if an argument is invalid, or, when the constraint is applied, if the weights do
            not have these axes.

    Example:

    >>> constraint = kerasreg.constraints.Simplex()
    >>> np.asarray(constraint(np.array([1.0, 0.5, -0.5]))).tolist()
    [0.75, 0.25, 0.0]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_simplex, weights, step, self.radius)


@keras.saving.register_keras_serializable("kerasreg")
class L1Ball(_OfRadius):
    """`sum(|w|) <= radius` in every group: the lasso as a constraint (Tibshirani, 1996).

    The projection of a group with a larger norm is `sign(w) max(|w| - s * step, 0)`, where `s` is
    chosen such that the norm is `radius` (Duchi et al., 2008). It is exact also for one step size
    per weight.

    Args:
        radius: finite float > 0, the largest L1 norm of a group.
        axis, gates: the groups, as in `Simplex`.

    Raises:
        ValueError: as in `Simplex`.

    Example:

    >>> constraint = kerasreg.constraints.L1Ball(radius=2.0, axis=0)
    >>> np.asarray(constraint(np.array([[2.0, 1.0], [-1.0, -1.0]]))).tolist()
    [[1.5, 1.0], [-0.5, -1.0]]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_l1_ball, weights, step, self.radius)


@keras.saving.register_keras_serializable("kerasreg")
class L2Ball(_OfRadius):
    """`||w||_2 <= radius` in every group: an exact `keras.constraints.MaxNorm`.

    The projection of a group with a larger norm is `w / (1 + s * step)`, where `s` is chosen such
    that the norm is `radius`. For equal step sizes, this scales the group. It is exact also for one
    step size per weight.

    Args:
        radius: finite float > 0, the largest L2 norm of a group.
        axis, gates: the groups, as in `Simplex` and `MaxNorm`.

    Raises:
        ValueError: as in `Simplex`.

    Example:

    >>> constraint = kerasreg.constraints.L2Ball(radius=2.5, axis=0)
    >>> np.asarray(constraint(np.array([[3.0, 1.0], [4.0, 1.0]]))).round(6).tolist()
    [[1.5, 1.0], [2.0, 1.0]]
    """

    def _project(self, weights, step):
        return self._by_group(operators.onto_l2_ball, weights, step, self.radius)
