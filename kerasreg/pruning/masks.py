"""Masks that keep pruned weights at zero inside of the train step."""

from keras import ops

from kerasreg.train_step import Update, UpdateHook


class HoldUpdate(Update):
    """Keeps the zeros of some variables, from `hold` on, whatever momentum does.

    One byte per weight, in a variable of the optimizer. A checkpoint of the same fit carries it;
    from any other, `hold` takes the zeros of the weights.
    """

    order = 1

    def create_state(self, hook):
        # Two that hold the same variable share its mask.
        self._masks = {
            hook.index(variable): hook.add_state(
                "mask", variable, tuple(variable.shape), 1, "uint8"
            )
            for variable in self.variables
        }
        self._hook = hook

    def was_restored(self):
        """Whether a checkpoint brought these masks."""
        return any(f"mask_{index}" in self._hook.state.restored for index in self._masks)

    def hold(self):
        """From now on, what is zero stays zero."""
        for variable in self.variables:
            alive = ops.not_equal(ops.convert_to_tensor(variable), 0)
            self._mask(variable).assign(ops.cast(alive, "uint8"))

    def reset(self):
        """Set to zero what is held and no longer is, after someone set older weights."""
        for variable in self.variables:
            variable.assign(_masked(variable, self._mask(variable)))

    def __call__(self, hook, variable, learning_rate, before):
        return _masked(variable, self._mask(variable))

    def _mask(self, variable):
        return self._masks[self._hook.index(variable)]


def zero_averages(optimizer, variables):
    """Give the averages of an optimizer with `use_ema` the zeros of the weights."""
    hook = UpdateHook.of(optimizer)
    for variable in variables:
        part, index = hook.part_of(variable)
        if part.use_ema:
            average = part._model_variables_moving_average[index]
            average.assign(_masked(average, variable))
    hook.release()


def _masked(value, mask):
    value, mask = ops.convert_to_tensor(value), ops.convert_to_tensor(mask)
    return ops.where(ops.not_equal(mask, 0), value, ops.zeros_like(value))
