"""The proximal step after each step of the optimizer, inside the compiled train step."""

import math

from keras import ops

from kerasreg._proximal.compiled import compiled
from kerasreg._proximal.proximal_step import ProximalStep
from kerasreg._proximal.sign_steps import mean_gradient, takes_signs
from kerasreg._proximal.stepped import SteppedUpdate


class ProxUpdate(SteppedUpdate):
    """Applies the proximal operator after each update of the optimizer.

    Args:
        targets: the `ProximalVariable`s.
        hook, active: see `SteppedUpdate`.
    """

    alone_as = "a proximal step"

    def __init__(self, targets, hook, active):
        super().__init__([target.variable for target in targets], hook, active)
        self._variables_of = {hook.index(variable): variable for variable in self.variables}
        self._steps_of = {hook.index(each.variable): self._proximal_step(each) for each in targets}

    def create_state(self, hook):
        super().create_state(hook)
        self._starts = {}
        for variable in self.variables:
            index = hook.index(variable)
            shape = self._steps_of[index].start_shape
            if shape is not None:
                self._starts[index] = hook.add_state("start", variable, shape)

    def before(self, hook, variable, gradient):
        step = self._steps_of[hook.index(variable)]
        # On torch, the tensor of a variable shares its memory.
        old = ops.copy(ops.convert_to_tensor(variable)) if step.needs_old else None
        if step.takes_signs:
            return old, (mean_gradient(*hook.part_of(variable), variable, gradient),)
        return old, super().before(hook, variable, gradient)

    def __call__(self, hook, variable, learning_rate, before):
        index = hook.index(variable)
        step, (old, kept) = self._steps_of[index], before
        sizes, part, number = self._of(variable)
        gain, start = self._gains.get(index), self._starts.get(index)
        run = compiled(step, math.prod(variable.shape)) if step.is_fusible else step
        # The prox needs a tensor, and TensorFlow calls this with `tf.Variable`s.
        new, *states = run(
            ops.copy(variable),
            learning_rate=learning_rate,
            old=old,
            kept=kept,
            slots=sizes.slots(number),
            gain=gain,
            scale=self._scale(index),
            start=start,
        )
        for state, value in zip((gain, start), states, strict=True):
            if state is not None:
                part.assign(state, value)
        return new

    def _scale(self, index):
        scale = getattr(self._variables_of[index].regularizer, "scale", None)
        return None if scale is None else scale()

    def _proximal_step(self, target):
        sizes, part, number = self._of(target.variable)
        return ProximalStep(
            sizes,
            number,
            target.penalty,
            target.constraint,
            target.variable.shape,
            takes_signs(part) and target.penalty is not None,
        )
