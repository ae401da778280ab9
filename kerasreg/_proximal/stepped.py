"""Updates that know the effective step of the optimizer before them."""

from keras import ops

import kerasreg._proximal.keras_steps  # noqa: F401  (fills the table of step sizes)
from kerasreg._common.warn import warn
from kerasreg._proximal.step_sizes import StepSize, float32
from kerasreg._train_step import Update


class SteppedUpdate(Update):
    """Happens after the optimizer's own step, and takes that step into account.

    Args:
        variables: the model variables that it changes.
        hook: the `UpdateHook` of their optimizer.
        active: see `Update`.
    """

    #: Of what momentum needs from step to step.
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
        """Give momentum its past where no checkpoint did."""
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
        """Whether `bound` is one: it is taken together with the weights before the update."""
        return self._of(variable)[0].is_bounded

    def bound(self, variable, learning_rate, kept):
        """How far the optimizer moves a weight in one step, see `within_reach`; or None."""
        steps, _, number = self._of(variable)
        return steps.bound(number, learning_rate, kept)

    def step(self, variable, learning_rate, kept):
        """The effective step: a scalar, or one value per weight. Call it once per update."""
        steps, part, number = self._of(variable)
        step = steps.plain(number, learning_rate, kept)
        gain = self._gains.get(self._hook.index(variable))
        if gain is not None:
            step, new_gain = steps.with_momentum(step, float32(gain))
            part.assign(gain, new_gain)
        return step

    def _of(self, variable):
        """`(step sizes, plain optimizer, number in it)` of a variable."""
        part, number = self._hook.part_of(variable)
        return self._steps[id(part)], part, number
