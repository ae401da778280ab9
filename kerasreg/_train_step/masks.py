"""Updates for pruning: masks that hold zeros, and records of gradients."""

import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view
from kerasreg._train_step import (
    Coverage,
    Update,
    UpdateHook,
    other_optimizers,
    sum_over_replicas,
)


class HoldUpdate(Update):
    """Keeps the zeros of some variables after `hold`, also with momentum.

    The gradients of held weights are replaced by zeros, so that the slots of the optimizer do not
    change, and most optimizers do not change the weights. The mask is a uint8 variable of the
    optimizer, with one byte per weight. Checkpoints of the same fit contain it. After loading any
    other checkpoint, `hold` uses the zeros of the weights.
    """

    order = 1

    def create_state(self, hook):
        # Two updates that hold the same variable share its mask.
        self._masks = {
            hook.index(variable): hook.add_state(
                "mask", variable, tuple(variable.shape), 1, "uint8"
            )
            for variable in self.variables
        }
        self._hook = hook

    def was_restored(self):
        """Returns whether the masks were loaded from a checkpoint."""
        return any(f"mask_{index}" in self._hook.state.restored for index in self._masks)

    def hold(self):
        """Holds all weights that are zero now."""
        for variable in self.variables:
            self.assign(variable, host_view(variable) != 0)

    def alive(self, variable):
        """Returns the mask of a variable: False for weights that are held at zero."""
        return host_view(self._mask(variable)).view(bool)

    def assign(self, variable, alive):
        """Sets the mask of a variable."""
        self._mask(variable).assign(np.ascontiguousarray(alive).view("uint8"))
        clear(self._hook, variable, alive)

    def follow(self):
        """Releases weights that were set to a nonzero value. Returns whether there were any."""
        revived = False
        for variable in self.variables:
            alive, weights = self.alive(variable), host_view(variable) != 0
            if (weights & ~alive).any():
                self.assign(variable, weights | alive)
                revived = True
        return revived

    def reset(self):
        """Sets held weights to zero again, after other weights were loaded."""
        for variable in self.variables:
            variable.assign(_masked(variable, self._mask(variable)))

    def gradient(self, hook, variable, gradient):
        # Without XLA, a product takes a third of the time of `where`.
        gradient = ops.convert_to_tensor(gradient)
        return gradient * ops.cast(self._mask(variable), gradient.dtype)

    def __call__(self, hook, variable, learning_rate, before):
        if hook.keeps_zeros(variable, self):
            return None
        return _masked(variable, self._mask(variable))

    def _mask(self, variable):
        return self._masks[self._hook.index(variable)]


class RecordUpdate(Update):
    """Keeps a record of the gradients of some variables: `function(record, weights, gradient)`.

    The record is a float32 variable of the optimizer, with 4 bytes per weight. It starts at zero.
    """

    order = -1
    changes_weights = False

    def __init__(self, variables, active, name, function):
        super().__init__(variables, active)
        self._name, self._function = name, function

    def create_state(self, hook):
        self._hook = hook
        self._records = {
            hook.index(variable): hook.add_state(self._name, variable, tuple(variable.shape))
            for variable in self.variables
        }

    def read(self, variable):
        """Returns the record of a variable as an array."""
        return np.array(host_view(self._records[self._hook.index(variable)]))

    def before(self, hook, variable, gradient):
        part, _ = hook.part_of(variable)
        # On torch, converting a variable to a tensor does not copy it.
        weights = ops.copy(ops.convert_to_tensor(variable))
        gradient = sum_over_replicas(part, variable, ops.convert_to_tensor(gradient))
        return ops.cast(weights, "float32"), ops.cast(gradient, "float32")

    def __call__(self, hook, variable, learning_rate, before):
        part, _ = hook.part_of(variable)
        record = self._records[hook.index(variable)]
        part.assign(record, self._function(ops.convert_to_tensor(record), *before))


def mask_coverage(model, optimizer, variables, update, caller):
    """Returns the `Coverage` of the pruned variables; `update` may be None."""
    what, loss = "a mask", "pruned weights can become nonzero"
    if not isinstance(update, HoldUpdate):
        what, loss = "a record of gradients", "no step is counted"
    return Coverage(
        *(optimizer, variables, update, caller, what, loss),
        f"{other_optimizers(model)}For each part and its optimizer, use `with kerasreg.pruning("
        "part, its_optimizer, schedule) as loop:` around the loop or the `fit`, and call "
        "`loop.step()` after every batch.",
    )


def clear(hook, variable, alive):
    """Sets the pruned weights to zero, and their optimizer slots to the initial value."""
    alive = ops.convert_to_tensor(alive)
    value = ops.convert_to_tensor(variable)
    variable.assign(ops.where(alive, value, ops.zeros_like(value)))
    factors = {}
    for slot, initial in hook.slots_of(variable):
        if slot.dtype not in factors:
            factors[slot.dtype] = ops.cast(alive, slot.dtype)
        # Without XLA, a product takes a third of the time of `where`.
        cleared = ops.convert_to_tensor(slot) * factors[slot.dtype]
        if initial:
            cleared = cleared + initial * (1 - factors[slot.dtype])
        slot.assign(cleared)


def zero_averages(optimizer, variables):
    """Sets the averages of an optimizer with `use_ema` to zero where the weights are zero."""
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
