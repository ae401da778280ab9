"""Masks that keep pruned weights at zero inside of the train step."""

from keras import ops

from kerasreg.train_step import Update


class HoldUpdate(Update):
    """Keeps the zeros of some variables, from `hold` on, whatever momentum does.

    One byte per weight, in a variable of the optimizer. A checkpoint of the same fit carries it;
    from any other, `hold` takes the zeros of the weights.
    """

    order = 1

    def create_state(self, hook):
        self._optimizer = hook.optimizer
        self._masks = {}
        for variable in self.variables:
            index = hook.optimizer._get_variable_index(variable)
            name = f"mask_{index}"
            # Two that hold the same variable share its mask.
            self._masks[index] = hook.state.get(name)
            if self._masks[index] is None:
                shape = tuple(variable.shape)
                self._masks[index] = hook.add_state(name, variable, shape, 1, dtype="uint8")

    def was_restored(self, hook):
        """Whether a checkpoint brought these masks."""
        return any(f"mask_{index}" in hook.restored for index in self._masks)

    def hold(self):
        """From now on, what is zero stays zero."""
        for variable in self.variables:
            alive = ops.not_equal(ops.convert_to_tensor(variable), 0)
            self._mask(variable).assign(ops.cast(alive, "uint8"))

    def reset(self):
        """Set to zero what is held and no longer is, after someone set older weights."""
        for variable in self.variables:
            variable.assign(_masked(variable, self._mask(variable)))

    def __call__(self, optimizer, index, variable, learning_rate):
        return _masked(variable, self._masks[index])

    def _mask(self, variable):
        return self._masks[self._optimizer._get_variable_index(variable)]


def zero_averages(optimizer, variables):
    """Give the averages of an optimizer with `use_ema` the zeros of the weights."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False):
        return
    for variable in variables:
        average = optimizer._model_variables_moving_average[optimizer._get_variable_index(variable)]
        average.assign(_masked(average, variable))


def _masked(value, mask):
    value, mask = ops.convert_to_tensor(value), ops.convert_to_tensor(mask)
    return ops.where(ops.not_equal(mask, 0), value, ops.zeros_like(value))
