"""The proximal step after each step of the optimizer, inside the compiled train step."""

from keras import ops

from kerasreg._proximal.sign_steps import long_step, mean_gradient, takes_signs
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
        self._targets = {hook.index(target.variable): target for target in targets}

    def before(self, hook, variable, gradient):
        # On torch, the tensor of a variable shares its memory.
        old = ops.copy(ops.convert_to_tensor(variable)) if self._needs_old(hook, variable) else None
        if self._takes_signs(hook, variable):
            return old, mean_gradient(*hook.part_of(variable), variable, gradient)
        kept = super().before(hook, variable, gradient)
        return kept if old is None else (old, *kept)

    def __call__(self, hook, variable, learning_rate, before):
        target = self._targets[hook.index(variable)]
        scale = getattr(target.variable.regularizer, "scale", None)
        scale = None if scale is None else scale()
        if self._takes_signs(hook, variable):
            new = target.prox_of_signs(
                *before, long_step(learning_rate, before[1]), scale, learning_rate
            )
            return ops.cast(new, variable.dtype)
        old, kept = None, before
        if self._needs_old(hook, variable):
            old, *kept = before
        step = self.step(variable, learning_rate, kept)
        bound = self.bound(variable, learning_rate, kept)
        # The prox needs a tensor, and TensorFlow calls this with `tf.Variable`s.
        return target.prox(old, ops.copy(variable), step, scale, bound)

    def _takes_signs(self, hook, variable):
        part, _ = hook.part_of(variable)
        return takes_signs(part) and self._targets[hook.index(variable)].penalty is not None

    def _needs_old(self, hook, variable):
        target = self._targets[hook.index(variable)]
        return not target.takes_one_step_per_weight or (
            target.penalty is not None and self.is_bounded(variable)
        )
