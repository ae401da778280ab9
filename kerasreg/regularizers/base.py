"""Base classes of regularizers: a value, a proximal operator, a config."""

from typing import Any

import keras
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Shape, Tensor


class Penalty(keras.regularizers.Regularizer):
    """A Keras regularizer without a proximal operator. It is trained by its gradient.

    A subclass implements `_value(weights)`, a pure function of a float tensor, and `get_config()`.
    For half-precision weights, the value is computed in float32.
    """

    def __call__(self, weights):
        """Returns the penalty.

        Args:
            weights: float tensor or variable of any shape that the penalty accepts.

        Returns:
            A scalar of the weights' dtype (float32 for float16 and bfloat16 weights).
        """
        weights = at_least_float32(weights)
        self.check(weights.shape)
        return self._value(weights)

    def check(self, shape, name="weights"):
        """Raises a `ValueError` if the penalty does not support weights of this shape."""
        return None  # AutoGraph warns about functions without a body.

    def for_variable(self, variable, roles):
        """Returns the penalty for one variable, with axis names replaced by axes.

        `kerasreg.attach` calls it.

        Args:
            variable: Keras variable.
            roles: dict from axis name (`"output"`, `"input"`, `"head"`) to the groups of this
                variable.
        """
        self.check(variable.shape, variable.path)
        return self

    def for_part(self, moved, cut):
        """Returns the penalty for the weights that remain. `kerasreg.shrink` calls it.

        Args:
            moved: function that transforms an array in the same way as the weights.
            cut: function that selects the remaining entries of an array of the weights' shape,
                without changing their values.
        """
        return self

    def with_price_of(self, shape: Shape, smaller: Shape) -> "Penalty":
        """Returns the penalty that has the same value after zeros were removed from the weights.

        `kerasreg.fit_and_shrink` calls it.

        Args:
            shape: tuple of ints, the shape of the weights before the removal.
            smaller: tuple of ints, the shape of the weights after the removal.
        """
        return self

    def _value(self, weights):
        raise NotImplementedError

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Regularizer(Penalty):
    """A regularizer with a proximal operator, for `ProximalGradient`.

    A subclass implements two pure functions of float tensors, `_value(weights)` and `_prox(weights,
    step)`, and `get_config()`. Half-precision weights are computed in float32.
    """

    #: Whether XLA makes the prox faster. It does not if the prox sorts, decomposes matrices or
    #: contains arrays.
    is_fusible = True

    def prox(self, weights: Tensor, step: Tensor) -> Tensor:
        """The proximal operator, `argmin_x  penalty(x) + sum_i (x_i - weights_i)^2 / (2 step_i)`.

        Args:
            weights: float tensor or variable.
            step: step size >= 0, in units of the learning rate: a scalar, or a tensor whose shape
                broadcasts to `step_shape(weights.shape)`. By default, that is one step per weight.

        Returns:
            A tensor of the weights' shape and dtype. Weights that the penalty removes are exactly
            0.0.
        """
        given = ops.convert_to_tensor(weights)
        self.check(given.shape)
        weights = at_least_float32(given)
        step = standardize_step(step, weights, self.step_shape(given.shape))
        return ops.cast(self._prox(weights, step), given.dtype)

    def prox_from(self, weights: Tensor, step: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Returns `(prox(weights, step), the next start)`, for calls that follow each other.

        The prox of groups with one step per weight is found by iteration. It is found faster from
        the result of a call with nearly the same arguments, as in the steps of a training.

        Args:
            weights, step: as in `prox`.
            start: float tensor of the shape `start_shape(weights.shape)`: zeros, or
                what the last call returned.
        """
        given = ops.convert_to_tensor(weights)
        self.check(given.shape)
        weights = at_least_float32(given)
        step = standardize_step(step, weights, self.step_shape(given.shape))
        result, following = self._prox_from(weights, step, ops.cast(start, weights.dtype))
        return ops.cast(result, given.dtype), ops.cast(following, start.dtype)

    @classmethod
    def has_own_start(cls) -> bool:
        """Returns whether `prox_from` belongs to `prox`: a subclass may override only one."""
        prox, inner, inner_from = (
            next(each for each in cls.__mro__ if name in vars(each))
            for name in ("prox", "_prox", "_prox_from")
        )
        return prox is Regularizer and inner is inner_from

    def start_shape(self, shape: Shape) -> tuple[Any, ...] | None:
        """Returns the shape of the start of `prox_from`; None if `prox` needs no start."""
        return None

    def step_shape(self, shape: Shape) -> tuple[Any, ...]:
        """Returns the finest shape of `step` that `prox` supports, by default `shape`.

        `()` means one step for all weights. For an optimizer whose step sizes have a finer shape,
        `ProximalGradient` uses `common_step`.
        """
        return tuple(shape)

    def common_step(self, step: Tensor, shape: Shape) -> Tensor:
        """Returns `mean(step^-2)^(-1/2)`, which reduces step sizes to the shape `step_shape`.

        This is the step size of an Adam that averages its second moments over the weights, as
        Adam-mini does for each block (Zhang et al., 2024). It is close to the smallest step size.
        The very large step sizes of weights without a gradient have almost no influence.
        """
        finest = self.step_shape(shape)
        if broadcasts(step.shape, finest):
            return step
        if finest:
            raise NotImplementedError
        return mean_step(step, axes=None)

    def expand_step(self, step: Tensor, shape: Shape) -> Tensor:
        """Returns the result of `common_step` in a shape that broadcasts to `shape`."""
        return step

    def _prox(self, weights, step):
        raise NotImplementedError

    def _prox_from(self, weights, step, start):
        raise NotImplementedError


def safe_sqrt(squares):
    """Returns the square root, with the derivative 0 at 0, so that a zero stays zero."""
    dead = squares == 0
    root = ops.sqrt(ops.where(dead, ops.ones_like(squares), squares))
    return ops.where(dead, ops.zeros_like(squares), root)


def absolute(weights):
    """Returns `|w|`, with the derivative 0 at 0, so that a zero stays zero. (In JAX it is 1.)"""
    return weights * ops.sign(weights)


def mean_step(step, axes):
    """Returns `mean(step^-2)^(-1/2)` over `axes`, kept with size 1, or over all axes for None."""
    # Dividing by the smallest step prevents an overflow of the squares.
    least = ops.min(step, axis=axes, keepdims=True)
    ratio = ops.where(step == least, ops.ones_like(step), least / step)
    mean = least / ops.sqrt(ops.mean(ops.square(ratio), axis=axes, keepdims=True))
    return ops.reshape(mean, ()) if axes is None else mean


def standardize_step(step, weights, finest):
    """Returns `step` as a tensor of the weights' dtype, after checking its value and shape."""
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
    """Returns the weights as a tensor, converted to float32 from half precision."""
    weights = ops.convert_to_tensor(weights)
    dtype = keras.backend.standardize_dtype(weights.dtype)
    return ops.cast(weights, "float32") if dtype in ("float16", "bfloat16") else weights
