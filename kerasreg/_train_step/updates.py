"""Updates of ours after the optimizer's own, inside of the compiled train step."""

import weakref

import keras
from keras import ops

from kerasreg._common.texts import listed
from kerasreg._train_step.counter import Counter
from kerasreg._train_step.state import State, StateKeeper


class Update:
    """Something that happens to some variables after the optimizer's own step.

    Args:
        variables: the model variables that it changes.
        active: a function without arguments; the update is left out where it returns False
            at tracing time.
    """

    #: Lower comes first: shrink, then mask.
    order: float = 0
    #: What it must be the only one of, for each of its variables; None where several may be.
    alone_as: str | None = None
    #: Whether it changes weights, and does not only look at them.
    changes_weights = True
    #: Whether `__call__` takes all variables of an optimizer at once: a list of them, a list of
    #: what `before` gave for each, and it returns a list.
    is_joint = False

    def __init__(self, variables, active=lambda: True):
        self.variables = list(variables)
        self.active = active
        #: How often it was traced or run for one of its variables.
        self.calls = 0
        #: The `Counter` of the steps that it was in, while it is in a hook.
        self.counter = None
        #: The variables that others of its class have changed before they were taken out.
        self.served = []

    def common(self, other):
        """The variables that both change, of an update that must be alone."""
        return [variable for variable in self.variables if _contains(other.variables, variable)]

    def covered(self):
        """The variables that it has changed in some step."""
        counts = self.counter.read()
        return [variable for each in counts for variable, times in each.of_variables if times]

    def create_state(self, hook):
        """Create what lives in the step, with `hook.add_state`."""

    def changed(self, variables):
        """Those that it changes, of the variables of its own that have a gradient in a step."""
        return variables

    def before(self, hook, variable, gradient):
        """A tuple of tensors to keep from before the optimizer's own step.

        Under `tf.distribute` the gradient is the replica's part of it, see `sum_over_replicas`.
        """
        return ()

    def gradient(self, hook, variable, gradient):
        """The gradient that the optimizer's own step takes, from that of the loss."""
        return gradient

    def __call__(self, hook, variable, learning_rate, before):
        """The new value of `variable`, after the optimizer's own step; None leaves it as it is.

        See `is_joint`.
        """
        raise NotImplementedError


#: Their own step leaves a weight of zero at zero if its gradient always was zero.
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


#: The hooks with updates in them.
_LIVE: weakref.WeakSet["UpdateHook"] = weakref.WeakSet()


class UpdateHook:
    """The updates of one optimizer. Use `UpdateHook.of(optimizer)`.

    A LossScaleOptimizer has one optimizer inside of it, a MultiOptimizer several: `parts` are the
    plain ones, and each variable belongs to one of them.
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
        """The hook of this optimizer (of the innermost one of a LossScaleOptimizer)."""
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
        """Those that run."""
        return tuple(self._updates)

    @property
    def parts(self):
        """The plain optimizers. They are known when the optimizer is built."""
        return getattr(self.optimizer, "optimizers", [self.optimizer])

    def part_of(self, variable):
        """`(plain optimizer, number of the variable in it)`."""
        optimizer = self.optimizer
        if optimizer is not self.parts[0]:
            optimizer = self.parts[optimizer._var_to_optimizer_idx[optimizer._var_key(variable)]]
        return optimizer, optimizer._get_variable_index(variable)

    def index(self, variable):
        """The number of the variable in the whole optimizer."""
        return self.optimizer._get_variable_index(variable)

    def keeps_zeros(self, variable, update):
        """Whether weights without a gradient stay at zero, even without this update."""
        part, _ = self.part_of(variable)
        return type(part) in _KEEPS_ZEROS and not any(
            each is not update and each.changes_weights and _contains(each.variables, variable)
            for each in self._updates
        )

    def require_known(self, variables):
        """Raise a `ValueError` for variables that the optimizer was not built with."""
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
        """Raise a `ValueError` if another update does to the same variables what may be done once.

        Args:
            update: one that is to be added.
            caller: who adds it, for the message.
        """
        for other in self._updates:
            if update.alone_as is None or other.alone_as != update.alone_as:
                continue
            common = [variable.path for variable in update.common(other)]
            if common:
                raise ValueError(
                    f"`{caller}` found {update.alone_as} on {listed(common)} already, of another "
                    "callback in this fit or of a context around it, and both would act in every "
                    "step. Leave one of them out, or give them variables of their own."
                )

    def add(self, update):
        """Run `update` from the next traced step on."""
        if not self._updates:
            self._patch()
        self._updates.append(update)
        self._updates.sort(key=lambda each: each.order)
        update.create_state(self)
        update.counter = Counter(self, update.variables, self._added)
        self._added += 1

    def remove(self, update):
        """Take `update` out; the last one leaves the optimizer as it was."""
        if update in self._updates:
            self._updates.remove(update)
            for other in _others_like(update):
                other.served += update.covered()
            update.counter.stop()
            update.counter = None
        self.release()

    def release(self):
        """Forget an optimizer that no update uses."""
        if not self._updates:
            self._unpatch()

    def add_state(self, name, variable, shape, initial=0.0, dtype="float32"):
        """A variable of the optimizer that belongs to a model variable, `(name)_(its number)`."""
        owner, _ = self.part_of(variable)
        name = f"{name}_{self.index(variable)}"
        return self.state.add(owner, name, shape, initial, dtype, reference=variable)

    def slots_of(self, variable):
        """`[(what the optimizer remembers per weight of this variable, its first value)]`."""
        part, index = self.part_of(variable)
        found = []
        for name, slots in vars(part).items():
            # Every slot is in a list with one variable per trainable one.
            slot = slots[index] if isinstance(slots, list) and len(slots) > index else None
            is_slot = isinstance(slot, keras.Variable) and slot is not variable
            if is_slot and name != "_variables" and tuple(slot.shape) == tuple(variable.shape):
                is_sum = name == "_accumulators"
                found.append((slot, part.initial_accumulator_value if is_sum else 0.0))
        return found

    def _patch(self):
        keeper = self.optimizer.__dict__.get(self._ATTRIBUTE)
        if keeper is None or keeper.hook is not self:
            # It was released before it had an update.
            self.optimizer.__dict__[self._ATTRIBUTE] = StateKeeper(self)
        restored = self.state.restored
        whole = [] if self.optimizer is self.parts[0] else [self.optimizer]
        self.state = State(self.parts, [*whole, *self._wrappers])
        self.state.restored = restored
        self.state.patch()
        self._added = 0
        _LIVE.add(self)
        for part in self.parts:
            self._patch_part(part)

    def _patch_part(self, part):
        update_step = part._backend_update_step
        update_average = part._update_model_variables_moving_average

        def update_step_and_ours(grads, variables, learning_rate):
            run = self._prepare(part, grads, variables)
            update_step(self._gradients(grads, variables), variables, learning_rate)
            run(learning_rate)

        def update_average_and_pattern(variables):
            update_average(variables)
            self._copy_zeros_to_average(part)

        part.__dict__["_backend_update_step"] = update_step_and_ours
        part.__dict__["_update_model_variables_moving_average"] = update_average_and_pattern

    def _unpatch(self):
        _LIVE.discard(self)
        self.state.unpatch()
        for part in self.parts:
            for name in ("_backend_update_step", "_update_model_variables_moving_average"):
                part.__dict__.pop(name, None)
        self.optimizer.__dict__.pop(self._ATTRIBUTE, None)

    def _prepare(self, part, grads, variables):
        """Keep what the updates need from before the step; returns what runs them after it."""
        gradients = {
            part._get_variable_index(variable): gradient
            for gradient, variable in zip(grads, variables, strict=True)
        }
        prepared = []
        for update in self._updates:
            if not update.active():
                continue
            found = []
            for variable in update.variables:
                owner, index = self.part_of(variable)
                if owner is part and index in gradients:
                    found.append((variable, update.before(self, variable, gradients[index])))
            update.calls += bool(found)
            self._count(part, update, [variable for variable, _ in found])
            together = [found] if update.is_joint and found else [[each] for each in found]
            prepared += [(update, each) for each in together]

        def run(learning_rate):
            for update, found in prepared:
                variables, before = zip(*found, strict=True)
                assign = self._assign(update, part, learning_rate)
                _on_every_replica(part, variables, assign, before)

        return run

    def _count(self, part, update, found):
        vector = update.counter.vector(part)
        if vector is None:
            return
        more = update.counter.increment(part, update.changed(found))

        def add(vectors, _):
            part.assign(vectors[0], vectors[0] + ops.cast(more, vector.dtype))

        _on_every_replica(part, [vector], add, ())

    def _gradients(self, grads, variables):
        gradients = {id(v): gradient for gradient, v in zip(grads, variables, strict=True)}
        for update in self._updates:
            for variable in update.variables if update.active() else ():
                if id(variable) in gradients:
                    gradient = gradients[id(variable)]
                    gradients[id(variable)] = update.gradient(self, variable, gradient)
        return list(gradients.values())

    def _assign(self, update, part, learning_rate):
        def assign(variables, before):
            if update.is_joint:
                values = update(self, variables, learning_rate, before)
            else:
                values = [update(self, variables[0], learning_rate, before[0])]
            for variable, value in zip(variables, values, strict=True):
                if value is not None:
                    part.assign(variable, value)

        return assign

    def _copy_zeros_to_average(self, part):
        """An average of sparse weights is dense: give it the zeros of the newest ones."""
        if not part.use_ema:
            return
        updates = [update for update in self._updates if update.active()]
        for variable in {id(v): v for update in updates for v in update.variables}.values():
            owner, index = self.part_of(variable)
            if owner is part:
                average = part._model_variables_moving_average[index]
                value = ops.convert_to_tensor(average)
                dead = ops.equal(ops.convert_to_tensor(variable), 0)
                average.assign(ops.where(dead, ops.zeros_like(value), value))


def served_elsewhere(update):
    """The variables that other updates of the same class have changed, of any optimizer."""
    return update.served + [each for other in _others_like(update) for each in other.covered()]


def _others_like(update):
    every = [each for hook in list(_LIVE) for each in hook.updates]
    return [each for each in every if type(each) is type(update) and each is not update]


def _contains(variables, variable):
    return any(each is variable for each in variables)


def sum_over_replicas(optimizer, variable, gradient):
    """The gradient that the optimizer will use, from that of a replica."""
    if keras.backend.backend() != "tensorflow":
        return gradient
    # As TFOptimizer does, which keeps the sum to itself.
    ((gradient, _),) = optimizer._all_reduce_sum_gradients([(gradient, variable.value)])
    return gradient


def _on_every_replica(optimizer, variables, function, arguments):
    """`function(variables, arguments)`, on a device of each replica."""
    if keras.backend.backend() != "tensorflow":
        function(variables, arguments)
        return
    import tensorflow as tf

    # As TFOptimizer does for its own updates and its weight decay.
    def update(strategy, *arguments):
        first, *others = [variable.value for variable in variables]
        strategy.extended.update(
            first,
            lambda first, others, arguments: function([first, *others], arguments),
            args=(others, arguments),
            group=False,
        )

    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, *arguments
    )
