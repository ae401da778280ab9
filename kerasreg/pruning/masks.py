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
        self._masks = {}
        for variable in self.variables:
            index = hook.optimizer._get_variable_index(variable)
            self._masks[index] = hook.add_state(
                f"mask_{index}", variable, tuple(variable.shape), initial=1, dtype="uint8"
            )

    def was_restored(self, hook):
        """Whether a checkpoint brought these masks."""
        return any(f"mask_{index}" in hook.restored for index in self._masks)

    def hold(self, optimizer):
        """From now on, what is zero stays zero."""
        for variable in self.variables:
            mask = self._masks[optimizer._get_variable_index(variable)]
            mask.assign(ops.cast(ops.not_equal(ops.convert_to_tensor(variable), 0), "uint8"))

    def __call__(self, optimizer, index, variable, learning_rate):
        value = ops.convert_to_tensor(variable)
        keep = ops.not_equal(ops.convert_to_tensor(self._masks[index]), 0)
        return ops.where(keep, value, ops.zeros_like(value))
