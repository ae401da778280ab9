"""What a constraint is: the nearest point of a set, for equal steps or for one per weight."""

import keras
from keras import ops

from kerasreg import _prox as operators
from kerasreg._common.types import Shape, Tensor
from kerasreg._graph.groups import Groups
from kerasreg.regularizers.base import at_least_float32, standardize_step


class Projection(keras.constraints.Constraint):
    """A Keras constraint that is the projection onto a set.

    A subclass writes a pure function of float tensors, `_project(weights, step)`, and
    `get_config()`. Half-precision weights are computed in float32.

    Example:

    >>> class Positive(kerasreg.constraints.Projection):
    ...     def _project(self, weights, step):
    ...         return keras.ops.relu(weights)
    >>> np.asarray(Positive()(np.array([1.0, -1.0]))).tolist()
    [1.0, 0.0]
    """

    def __call__(self, weights: Tensor) -> Tensor:
        """The nearest point of the set: `argmin_{x in C} sum_i (x_i - weights_i)^2`."""
        return self.project(weights, 1.0)

    def project(self, weights: Tensor, step: Tensor) -> Tensor:
        """`argmin_{x in C} sum_i (x_i - weights_i)^2 / (2 step_i)`.

        Args:
            weights: float tensor or variable.
            step: step size >= 0: a scalar, or one value per weight (a shape that broadcasts to
                the weights'). Only the ratios of the steps matter.

        Returns:
            A tensor of the weights' shape and dtype. Zeros are exactly 0.0.
        """
        given = ops.convert_to_tensor(weights)
        self.check(given.shape)
        weights = at_least_float32(given)
        step = standardize_step(step, weights, tuple(given.shape))
        return ops.cast(self._project(weights, step), given.dtype)

    def check(self, shape: Shape, name: str = "weights") -> None:
        """Raise a `ValueError` where weights of this shape cannot have this constraint."""
        return None  # AutoGraph warns of a function without a body.

    def _project(self, weights, step):
        raise NotImplementedError

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class GroupProjection(Projection):
    """A set for each group; `axis` and `gates` are those of `Groups`, None is one for all."""

    def __init__(self, axis=None, gates=1):
        # An axis of 0 checks the gates.
        self.groups = Groups(0 if axis is None else axis, gates)
        if axis is None:
            if self.groups.gates > 1:
                raise ValueError(
                    f"`gates` needs a single int `axis`. Received: axis=None, gates={gates}"
                )
            self.groups = None

    def check(self, shape, name="weights"):
        if self.groups:
            self.groups.check(shape, name)

    def get_config(self):
        groups = self.groups
        return {"axis": groups and groups.axis, "gates": groups.gates if groups else 1}

    def _layout(self, shape):
        return self.groups.layout(shape) if self.groups else (shape, tuple(range(len(shape))))

    def _by_group(self, operator, weights, step, *parameters):
        """`operator(weights, step, *parameters, axes)`."""
        layout = self._layout(weights.shape)
        return operators.in_layout(operator, weights, step, layout, *parameters)
