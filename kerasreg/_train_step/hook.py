"""The updates that run after each step of one optimizer, and their state."""

import weakref

import keras

from kerasreg._common.texts import listed
from kerasreg._train_step.counter import Counter
from kerasreg._train_step.patch import patch_part, unpatch_part
from kerasreg._train_step.state import State, StateKeeper
from kerasreg._train_step.updates import contains

#: Optimizers whose step keeps a weight at zero if all of its gradients were zero.
_KEEPS_ZEROS = (
    keras.optimizers.SGD,
    keras.optimizers.RMSprop,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.Lion,
    keras.optimizers.Lamb,
)


#: The hooks that have updates.
_LIVE: weakref.WeakSet["UpdateHook"] = weakref.WeakSet()


class UpdateHook:
    """The updates of one optimizer. Use `UpdateHook.of(optimizer)`.

    A LossScaleOptimizer contains another optimizer, a MultiOptimizer several. `parts` are the
    innermost, plain optimizers. Each variable belongs to one of them.
    """

    _ATTRIBUTE = "kerasreg"

    def __init__(self, optimizer, wrappers):
        self.optimizer = optimizer
        self._wrappers = wrappers
        self._updates = []
        self._added = 0
        self.state = State([], [])

    @classmethod
    def of(cls, optimizer):
        """Returns the hook of an optimizer (of the inner optimizer of a LossScaleOptimizer)."""
        wrappers = []
        while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            wrappers.append(optimizer)
            optimizer = optimizer.inner_optimizer
        keeper = optimizer.__dict__.get(cls._ATTRIBUTE)
        if keeper is None:
            keeper = optimizer.__dict__[cls._ATTRIBUTE] = StateKeeper(cls(optimizer, wrappers))
        return keeper.hook

    @property
    def updates(self):
        """The updates in the order in which they run."""
        return tuple(self._updates)

    @property
    def parts(self):
        """The plain optimizers, known after the optimizer is built."""
        return getattr(self.optimizer, "optimizers", [self.optimizer])

    def part_of(self, variable):
        """Returns `(plain optimizer, index of the variable in it)`."""
        optimizer = self.optimizer
        if optimizer is not self.parts[0]:
            optimizer = self.parts[optimizer._var_to_optimizer_idx[optimizer._var_key(variable)]]
        return optimizer, optimizer._get_variable_index(variable)

    def index(self, variable):
        """Returns the index of the variable in the whole optimizer."""
        return self.optimizer._get_variable_index(variable)

    def keeps_zeros(self, variable, update):
        """Returns whether weights with zero gradients stay at zero without this update."""
        part, _ = self.part_of(variable)
        return type(part) in _KEEPS_ZEROS and not any(
            each is not update and each.changes_weights and contains(each.variables, variable)
            for each in self._updates
        )

    def require_known(self, variables):
        """Raises a `ValueError` for variables that the optimizer was not built with."""
        try:
            self.optimizer._check_variables_are_known(variables)
        except ValueError:
            unknown = [v.path for v in variables if not self._knows(v)]
            raise ValueError(
                f"The optimizer does not know these trainable variables: {listed(unknown)}. It was "
                "built before they became trainable, or for another model. Call "
                "`model.compile(...)` with a new optimizer after you change `trainable`."
            ) from None

    def _knows(self, variable):
        try:
            self.optimizer._check_variables_are_known([variable])
        except ValueError:
            return False
        return True

    def require_alone(self, update, caller):
        """Raises a `ValueError` if another update of the same kind changes the same variables.

        Args:
            update: the `Update` to add.
            caller: name of the callback or function that adds it, for the message.
        """
        for other in self._updates:
            if update.alone_as is None or other.alone_as != update.alone_as:
                continue
            common = [variable.path for variable in update.common(other)]
            if common:
                raise ValueError(
                    f"`{caller}` cannot add {update.alone_as} to {listed(common)}: another "
                    "callback of this fit, or a context around it, has already added one, and both "
                    "would act in every step. Remove one of them, or give them different variables."
                )

    def add(self, update):
        """Adds an update, which runs in all steps that are traced afterwards."""
        if not self._updates:
            self._patch()
        self._updates.append(update)
        self._updates.sort(key=lambda each: each.order)
        update.create_state(self)
        update.counter = Counter(self, update.variables, self._added)
        self._added += 1

    def remove(self, update):
        """Removes an update; the optimizer is restored when the last one is removed."""
        if update in self._updates:
            self._updates.remove(update)
            for other in _others_like(update):
                other.served += update.covered()
            update.counter.stop()
            update.counter = None
        self.release()

    def release(self):
        """Restores the optimizer if it has no update."""
        if not self._updates:
            self._unpatch()

    def add_state(self, name, variable, shape, initial=0.0, dtype="float32"):
        """Adds an optimizer variable for a model variable, named `{name}_{index}`."""
        owner, _ = self.part_of(variable)
        name = f"{name}_{self.index(variable)}"
        return self.state.add(owner, name, shape, initial, dtype, reference=variable)

    def slots_of(self, variable):
        """Returns `[(slot, initial value)]` for the optimizer's slots of the variable's shape."""
        part, index = self.part_of(variable)
        found = []
        for name, slots in vars(part).items():
            # Slots are in lists with one slot per trainable variable.
            slot = slots[index] if isinstance(slots, list) and len(slots) > index else None
            is_slot = isinstance(slot, keras.Variable) and slot is not variable
            if is_slot and name != "_variables" and tuple(slot.shape) == tuple(variable.shape):
                is_sum = name == "_accumulators"
                found.append((slot, part.initial_accumulator_value if is_sum else 0.0))
        return found

    def _patch(self):
        keeper = self.optimizer.__dict__.get(self._ATTRIBUTE)
        if keeper is None or keeper.hook is not self:
            # The hook was released before an update was added.
            self.optimizer.__dict__[self._ATTRIBUTE] = StateKeeper(self)
        restored = self.state.restored
        whole = [] if self.optimizer is self.parts[0] else [self.optimizer]
        self.state = State(self.parts, [*whole, *self._wrappers])
        self.state.restored = restored
        self.state.patch()
        self._added = 0
        _LIVE.add(self)
        for part in self.parts:
            patch_part(self, part)

    def _unpatch(self):
        _LIVE.discard(self)
        self.state.unpatch()
        for part in self.parts:
            unpatch_part(part)
        self.optimizer.__dict__.pop(self._ATTRIBUTE, None)


def served_elsewhere(update):
    """Returns the variables that updates of the same class have changed in any optimizer."""
    return update.served + [each for other in _others_like(update) for each in other.covered()]


def _others_like(update):
    every = [each for hook in list(_LIVE) for each in hook.updates]
    return [each for each in every if type(each) is type(update) and each is not update]
