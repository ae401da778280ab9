"""Gradient descent with the step sizes that another optimizer had at the end."""

import keras
import numpy as np
from keras import ops

from kerasreg._proximal.step_sizes import StepSize, float32, register_step_size
from kerasreg._train_step import UpdateHook


class FrozenSteps(keras.optimizers.Optimizer):
    """`w - scale * step * gradient`, one step size or array of them per variable.

    Args:
        steps: float arrays, one per trainable variable, in the order of `build`.
        bounds: as many numbers, arrays or None, see `register_step_size`; None is none for all.
        **kwargs: those of a Keras optimizer.
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
    """`(effective steps, bounds)` of an optimizer as it is now, without its momentum.

    With momentum or not, the optimum is the same; without, no past gradient is in the way.

    Raises:
        ValueError: for an optimizer whose steps are unknown without a gradient.
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
            f"The step size of {type(part).__name__} depends on the gradient: pass `learning_rate`."
        )
    before = sizes.before(index, variable, ops.zeros_like(ops.convert_to_tensor(variable)))
    bound = sizes.bound(index, part.learning_rate, before)
    return (
        ops.convert_to_numpy(sizes.plain(index, part.learning_rate, before)),
        None if bound is None else np.asarray(ops.convert_to_numpy(bound), "float32"),
    )
