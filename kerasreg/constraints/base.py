"""Base classes of constraints: projections for equal step sizes or one per weight."""

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common.types import Shape, Tensor
from kerasreg._graph.groups import Groups
from kerasreg.regularizers.base import at_least_float32, standardize_step


class Projection(keras.constraints.Constraint):
    """A Keras constraint that is the projection onto a set.

    A subclass implements `_project(weights, step)`, a pure function of float tensors, and
    `get_config()`. Half-precision weights are computed in float32.

    Example:

    >>> class Positive(kerasreg.constraints.Projection):
    ...     def _project(self, weights, step):
    ...         return keras.ops.relu(weights)
    >>> np.asarray(Positive()(np.array([1.0, -1.0]))).tolist()
    [1.0, 0.0]
    """

    #: Whether XLA makes the projection faster, as in `Regularizer`.
    is_fusible = True

    def __call__(self, weights: Tensor) -> Tensor:
        """Returns the nearest point of the set, `argmin_{x in C} sum_i (x_i - weights_i)^2`."""
        return self.project(weights, 1.0)

    def project(self, weights: Tensor, step: Tensor) -> Tensor:
        """Returns the projection, `argmin_{x in C} sum_i (x_i - weights_i)^2 / (2 step_i)`.

        Args:
            weights: float tensor or variable.
            step: step size >= 0: a scalar, or a tensor whose shape broadcasts to that of the
                weights. Only the ratios of the step sizes matter.

        Returns:
            A tensor of the weights' shape and dtype. Zeros are exactly 0.0.
        """
        given = ops.convert_to_tensor(weights)
        self.check(given.shape)
        weights = at_least_float32(given)
        step = standardize_step(step, weights, tuple(given.shape))
        return ops.cast(self._project(weights, step), given.dtype)

    def check(self, shape: Shape, name: str = "weights") -> None:
        """Raises a `ValueError` if the constraint does not support weights of this shape."""
        return None  # AutoGraph warns about functions without a body.

    def _project(self, weights, step):
        raise NotImplementedError

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class GroupProjection(Projection):
    """A constraint of each group of weights, which lies along `axis` as in Keras' constraints.

    Args:
        axis: int, tuple of ints, or None for all axes.
        gates: int >= 1. The single axis that is not in `axis` consists of this many blocks of equal
            size, and index j of every block belongs to the same group.
    """

    def __init__(self, axis=None, gates=1):
        self.axis = _standardize_axis(axis)
        self.gates = Groups(0, gates).gates
        if axis is None and self.gates > 1:
            raise ValueError(
                "`gates` needs an `axis` that contains all axes of the weights but one. "
                f"Received: axis=None, gates={gates}"
            )

    def check(self, shape, name="weights"):
        if self.axis is None:
            return
        Groups(self.axis).check(shape, name)
        if self.gates > 1:
            kept = self._kept(shape)
            if len(kept) != 1:
                raise ValueError(
                    f"`gates` needs an `axis` that contains all axes but one of {name} with shape "
                    f"{tuple(shape)}. Received: axis={self.axis}, gates={self.gates}"
                )
            Groups(kept[0], self.gates).check(shape, name)

    def get_config(self):
        return {"axis": self.axis, "gates": self.gates}

    def _layout(self, shape):
        """Returns `Groups.layout`. The `axis` of `Groups` has the axes that are not in ours."""
        kept = self._kept(shape)
        if not kept:
            return tuple(shape), tuple(range(len(shape)))
        return Groups(kept[0] if self.gates > 1 else kept, self.gates).layout(shape)

    def _kept(self, shape):
        """Returns the axes that index the groups: those that are not in `axis`."""
        if self.axis is None:
            return ()
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        along = {axis % len(shape) for axis in axes}
        return tuple(axis for axis in range(len(shape)) if axis not in along)

    def _by_group(self, operator, weights, step, *parameters):
        """Returns `operator(weights, step, *parameters, axes)`, computed in the layout of
        groups."""
        layout = self._layout(weights.shape)
        return operators.in_layout(operator, weights, step, layout, *parameters)


def _standardize_axis(axis):
    if axis is None:
        return None
    if isinstance(axis, str):
        raise ValueError(
            "`axis` must be an int, a tuple of ints, or None for all weights. "
            f"Received: axis={axis!r}"
        )
    return Groups(axis).axis
