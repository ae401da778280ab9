"""Updates that use the effective step size of the optimizer."""

from keras import ops

import kerasreg._proximal.keras_steps  # noqa: F401  (fills the table of step sizes)
from kerasreg._common.warn import warn
from kerasreg._proximal.step_sizes import StepSize, float32
from kerasreg._train_step import Update


class SteppedUpdate(Update):
    """An update after the optimizer's own, which uses its effective step size.

    Args:
        variables: the model variables that the update changes.
        hook: the `UpdateHook` of their optimizer.
        active: see `Update`.
    """

    #: Name of the state that momentum needs: the recursion `T`.
    state_name = "gain"

    def __init__(self, variables, hook, active):
        super().__init__(variables, active)
        self._hook = hook
        parts = {id(part): part for part, _ in map(hook.part_of, self.variables)}
        self._steps = {key: StepSize(part) for key, part in parts.items()}
        for sentence in {steps.approximate for steps in self._steps.values()} - {None}:
            warn(f"{sentence}.")

    def create_state(self, hook):
        self._gains = {}
        for variable in self.variables:
            shape = self._of(variable)[0].gain_shape(variable)
            if shape is not None:
                gain = hook.add_state(self.state_name, variable, shape)
                self._gains[hook.index(variable)] = gain

    def settle(self):
        """Initializes the state of momentum that was not restored from a checkpoint."""
        for variable in self.variables:
            index = self._hook.index(variable)
            gain = self._gains.get(index)
            if gain is not None and f"{self.state_name}_{index}" not in self._hook.state.restored:
                steps, _, number = self._of(variable)
                settled = ops.cast(steps.settled_gain(number), gain.dtype)
                gain.assign(ops.broadcast_to(settled, gain.shape))

    def before(self, hook, variable, gradient):
        steps, _, number = self._of(variable)
        return steps.before(number, variable, gradient)

    def is_bounded(self, variable):
        """Returns whether `bound` is not None. It needs the weights from before the update."""
        return self._of(variable)[0].is_bounded

    def bound(self, variable, learning_rate, kept):
        """Returns how far a constant gradient moves a weight in one step, or None for no bound."""
        steps, _, number = self._of(variable)
        return steps.bound(number, learning_rate, kept)

    def step(self, variable, learning_rate, kept):
        """Returns the effective step size, scalar or one per weight. Call it once per update."""
        steps, part, number = self._of(variable)
        step = steps.plain(number, learning_rate, kept)
        gain = self._gains.get(self._hook.index(variable))
        if gain is not None:
            step, new_gain = steps.with_momentum(step, float32(gain))
            part.assign(gain, new_gain)
        return step

    def _of(self, variable):
        """Returns `(step sizes, plain optimizer, index in it)` of a variable."""
        part, number = self._hook.part_of(variable)
        return self._steps[id(part)], part, number
