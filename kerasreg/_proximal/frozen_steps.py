"""Gradient descent with the last step sizes of another optimizer."""

import keras
import numpy as np
from keras import ops

from kerasreg._proximal.registry import register_step_size
from kerasreg._proximal.step_sizes import StepSize, float32
from kerasreg._train_step import UpdateHook


class FrozenSteps(keras.optimizers.Optimizer):
    """Gradient descent with fixed step sizes: `w - scale * step * gradient`.

    Args:
        steps: list of floats or float arrays, one per trainable variable in the order of `build`.
        bounds: list of floats, float arrays or None, one per variable (see `register_step_size`).
            None for no bounds at all.
        **kwargs: arguments of `keras.optimizers.Optimizer`.
    """

    def __init__(self, steps, bounds=None, **kwargs):
        super().__init__(learning_rate=1.0, **kwargs)
        self._initial = steps
        self.bounds = tuple(bounds or [None] * len(steps))

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.scale = self.add_variable(
            (), keras.initializers.Constant(1.0), "float32", name="scale"
        )
        self.steps = [
            self.add_variable(ops.shape(step), "zeros", "float32", name="step")
            for step in self._initial
        ]
        for step, value in zip(self.steps, self._initial, strict=True):
            step.assign(value)

    def update_step(self, gradient, variable, learning_rate):
        step = _step(self, self._get_variable_index(variable), learning_rate)
        self.assign_sub(variable, ops.cast(step * float32(gradient), variable.dtype))


def _bound(optimizer, index, learning_rate):
    bound = optimizer.bounds[index]
    return None if bound is None else float32(optimizer.scale) * float32(bound)


@register_step_size(FrozenSteps, bound=_bound)
def _step(optimizer, index, learning_rate):
    return float32(optimizer.scale) * float32(optimizer.steps[index])


def present_steps(optimizer, variables):
    """Returns `(effective steps, bounds)` of the current state of an optimizer, without momentum.

    Momentum does not change the optimum. Without it, past gradients have no influence on the steps.

    Raises:
        ValueError: if the effective step size of the optimizer depends on the gradient.
    """
    hook = UpdateHook.of(optimizer)
    try:
        present = [_present_step(*hook.part_of(variable), variable) for variable in variables]
        return tuple(zip(*present, strict=True))
    finally:
        hook.release()


def _present_step(part, index, variable):
    sizes = StepSize(part)
    if sizes.approximate is not None:
        raise ValueError(
            "Expected an optimizer with an effective step size that does not depend on the "
            f"gradient. Received: {type(part).__name__}. Pass `learning_rate`."
        )
    before = sizes.before(index, variable, ops.zeros_like(ops.convert_to_tensor(variable)))
    bound = sizes.bound(index, part.learning_rate, before)
    return (
        ops.convert_to_numpy(sizes.plain(index, part.learning_rate, before)),
        None if bound is None else np.asarray(ops.convert_to_numpy(bound), "float32"),
    )
