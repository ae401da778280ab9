"""What a penalty is: a value, a prox, a config."""

from typing import Any

import keras
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Shape, Tensor


class Penalty(keras.regularizers.Regularizer):
    """A Keras regularizer with a value and a gradient; `ProximalGradient` leaves it the gradient.

    A subclass writes a pure function of a float tensor, `_value(weights)`, and `get_config()`.
    Half-precision weights are computed in float32.
    """

    def __call__(self, weights):
        """The penalty.

        Args:
            weights: float tensor or variable of any shape that the penalty accepts.

        Returns:
            A scalar of the weights' dtype (float32 for float16 and bfloat16 weights).
        """
        weights = at_least_float32(weights)
        self.check(weights.shape)
        return self._value(weights)

    def check(self, shape, name="weights"):
        """Raise a `ValueError` where weights of this shape cannot have this penalty."""
        return None  # AutoGraph warns of a function without a body.

    def for_variable(self, variable, roles):
        """This penalty with the names of `roles` turned into axes: `attach` calls it."""
        self.check(variable.shape, variable.path)
        return self

    def for_part(self, moved, cut):
        """This penalty of fewer weights: `kerasreg.shrink` calls it.

        Args:
            moved: maps an array like the weights as the weights are mapped.
            cut: takes the part that stays of such an array, as it is.
        """
        return self

    def _value(self, weights):
        raise NotImplementedError

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Regularizer(Penalty):
    """A penalty that also has a proximal operator.

    A subclass writes two pure functions of float tensors, `_value(weights)` and
    `_prox(weights, step)`, and `get_config()`. Half-precision weights are computed in float32.
    """

    def prox(self, weights: Tensor, step: Tensor) -> Tensor:
        """`argmin_x  penalty(x) + sum_i (x_i - weights_i)^2 / (2 step_i)`.

        Args:
            weights: float tensor or variable.
            step: step size >= 0, in the units of the learning rate: a scalar, or one value per
                weight (a shape that broadcasts to `step_shape`: the weights' own, where the class
                does not say otherwise).

        Returns:
            A tensor of the weights' shape and dtype. What the penalty switches off is exactly 0.0.
        """
        given = ops.convert_to_tensor(weights)
        self.check(given.shape)
        weights = at_least_float32(given)
        step = standardize_step(step, weights, self.step_shape(given.shape))
        return ops.cast(self._prox(weights, step), given.dtype)

    def step_shape(self, shape: Shape) -> tuple[Any, ...]:
        """The shape of the finest steps that `prox` takes: `()` is one for all weights.

        An optimizer with a finer one trains with `common_step`.
        """
        return tuple(shape)

    def common_step(self, step: Tensor, shape: Shape) -> Tensor:
        """One step of `step_shape` for steps that differ: `mean(step^-2)^(-1/2)`.

        The step of an Adam that averages its second moments over the weights (as Zhang et al.,
        2024, do for each block): near the smallest step, and blind to the huge ones of weights
        that get no gradient.
        """
        finest = self.step_shape(shape)
        if broadcasts(step.shape, finest):
            return step
        if finest:
            raise NotImplementedError
        return mean_step(step, axes=None)

    def expand_step(self, step: Tensor, shape: Shape) -> Tensor:
        """What `common_step` gave, in a shape that broadcasts to the weights'."""
        return step

    def _prox(self, weights, step):
        raise NotImplementedError


def safe_sqrt(squares):
    """The square root, with a slope of 0 at 0: the subgradient that keeps a zero."""
    dead = squares == 0
    root = ops.sqrt(ops.where(dead, ops.ones_like(squares), squares))
    return ops.where(dead, ops.zeros_like(squares), root)


def absolute(weights):
    """`|w|`, with a slope of 0 at 0: the subgradient that keeps a zero. (JAX takes 1.)"""
    return weights * ops.sign(weights)


def mean_step(step, axes):
    """`mean(step^-2)^(-1/2)` over `axes`, kept as axes of size 1; over all for None."""
    # Relative to the smallest, so that the squares do not overflow.
    least = ops.min(step, axis=axes, keepdims=True)
    ratio = ops.where(step == least, ops.ones_like(step), least / step)
    mean = least / ops.sqrt(ops.mean(ops.square(ratio), axis=axes, keepdims=True))
    return ops.reshape(mean, ()) if axes is None else mean


def standardize_step(step, weights, finest):
    """`step` as a tensor like the weights, if it is not negative and broadcasts to `finest`."""
    is_number = validation.is_number(step)
    if (
        isinstance(step, (bool, str))
        or str(getattr(step, "dtype", "")) == "bool"
        or step is None
        or (is_number and not step >= 0)
    ):
        raise validation.invalid("step", step, "a number >= 0")
    step = ops.convert_to_tensor(step, weights.dtype)
    if not broadcasts(step.shape, finest):
        raise ValueError(
            f"`step` must be a scalar or broadcast to {finest}, for weights of shape "
            f"{tuple(weights.shape)}. Received: a step of shape {tuple(step.shape)}"
        )
    return step


def broadcasts(shape, target):
    """Whether an array of `shape` broadcasts to `target` without making it larger."""
    sizes = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(size in (1, wanted) for size, wanted in sizes)


def at_least_float32(weights):
    """A tensor of the weights, in float32 for half precision."""
    weights = ops.convert_to_tensor(weights)
    dtype = keras.backend.standardize_dtype(weights.dtype)
    return ops.cast(weights, "float32") if dtype in ("float16", "bfloat16") else weights
