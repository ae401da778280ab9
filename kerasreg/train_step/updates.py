"""Updates of ours after the optimizer's own, inside of the compiled train step."""

import contextlib

import keras
from keras import ops


class Update:
    """Something that happens to some variables after the optimizer's own step.

    Args:
        variables: the model variables that it changes.
        active: a function without arguments; the update is left out where it returns False
            at tracing time.
    """

    #: Lower comes first: shrink, then mask.
    order = 0

    def __init__(self, variables, active=lambda: True):
        self.variables = list(variables)
        self.active = active
        #: How often it was traced or run: 0 after a training step means that it is not in there.
        self.calls = 0

    def create_state(self, hook):
        """Create what lives in the step, with `hook.add_state`."""

    def __call__(self, optimizer, index, variable, learning_rate):
        """The new value of `variable`, the optimizer's number `index`."""
        raise NotImplementedError


class UpdateHook:
    """The updates of one optimizer. Use `UpdateHook.of(optimizer)`."""

    _ATTRIBUTE = "kerasreg"

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.state = {}
        self.restored = {}
        self._updates = []
        # LossScaleOptimizer saves the variables of the optimizer inside of it a second time.
        self.wrappers = []

    @classmethod
    def of(cls, optimizer):
        """The hook of this optimizer (of the innermost one of a LossScaleOptimizer)."""
        wrappers = []
        while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            wrappers.append(optimizer)
            optimizer = optimizer.inner_optimizer
        keeper = optimizer.__dict__.get(cls._ATTRIBUTE)
        if keeper is None:
            hook = cls(optimizer)
            keeper = optimizer.__dict__[cls._ATTRIBUTE] = _StateKeeper(hook)
        keeper.hook.wrappers = wrappers
        return keeper.hook

    def add(self, update):
        """Run `update` from the next traced step on."""
        if not self._updates:
            self._patch()
        self._updates.append(update)
        self._updates.sort(key=lambda each: each.order)
        update.create_state(self)

    def remove(self, update):
        """Take `update` out; the last one leaves the optimizer as it was."""
        if update in self._updates:
            self._updates.remove(update)
        if not self._updates:
            self._unpatch()

    def release(self):
        """Forget an optimizer that no update uses."""
        if not self._updates:
            self._unpatch()

    def add_state(self, name, reference, shape, initial=0.0, dtype="float32"):
        """A variable of the optimizer: the only kind that the compiled steps of all backends see.

        It is kept out of what stock Keras saves (which would drop the whole optimizer state on
        loading) and saved beside it, where only this class looks.
        """
        optimizer = self.optimizer
        constant = keras.initializers.Constant(initial)
        with _strategy_scope(optimizer):
            if shape == tuple(reference.shape) and dtype == reference.dtype:
                variable = optimizer.add_variable_from_reference(reference, name, constant)
            else:
                variable = optimizer.add_variable(shape, constant, dtype, name=name)
        if name in self.restored:
            variable.assign(self.restored[name])
        self.state[name] = variable
        return variable

    @contextlib.contextmanager
    def hidden_state(self):
        """The optimizer's variables without ours."""
        for variable in self.state.values():
            self.optimizer._untrack_variable(variable)
        try:
            yield
        finally:
            for variable in self.state.values():
                self.optimizer._track_variable(variable)

    def _patch(self):
        optimizer = self.optimizer
        update_step = optimizer._backend_update_step
        update_average = optimizer._update_model_variables_moving_average

        def update_step_and_ours(grads, variables, learning_rate):
            update_step(grads, variables, learning_rate)
            self._run(variables, learning_rate)

        def update_average_and_pattern(variables):
            update_average(variables)
            self._copy_zeros_to_average()

        optimizer.__dict__["_backend_update_step"] = update_step_and_ours
        optimizer.__dict__["_update_model_variables_moving_average"] = update_average_and_pattern
        for each in [optimizer, *self.wrappers]:
            each.__dict__["save_own_variables"] = self._without_state(each.save_own_variables)
            each.__dict__["load_own_variables"] = self._without_state(each.load_own_variables)

    def _unpatch(self):
        for variable in self.state.values():
            self.optimizer._untrack_variable(variable)
        self.state = {}
        for name in ("_backend_update_step", "_update_model_variables_moving_average"):
            self.optimizer.__dict__.pop(name, None)
        for each in [self.optimizer, *self.wrappers]:
            each.__dict__.pop("save_own_variables", None)
            each.__dict__.pop("load_own_variables", None)
        self.optimizer.__dict__.pop(self._ATTRIBUTE, None)

    def _without_state(self, method):
        def without_state(store):
            with self.hidden_state():
                method(store)

        return without_state

    def _run(self, variables, learning_rate):
        known = {self.optimizer._get_variable_index(variable) for variable in variables}
        for update in self._updates:
            if not update.active():
                continue
            update.calls += 1
            ours = [v for v in update.variables if self._index(v) in known]
            _on_every_replica(self.optimizer, ours, self._assign(update, learning_rate))

    def _assign(self, update, learning_rate):
        def assign(variable):
            index = self._index(variable)
            self.optimizer.assign(variable, update(self.optimizer, index, variable, learning_rate))

        return assign

    def _index(self, variable):
        return self.optimizer._get_variable_index(variable)

    def _copy_zeros_to_average(self):
        """An average of sparse weights is dense: give it the zeros of the newest ones."""
        if not self.optimizer.use_ema:
            return
        updates = [update for update in self._updates if update.active()]
        for variable in {id(v): v for update in updates for v in update.variables}.values():
            average = self.optimizer._model_variables_moving_average[self._index(variable)]
            value = ops.convert_to_tensor(average)
            dead = ops.equal(ops.convert_to_tensor(variable), 0)
            average.assign(ops.where(dead, ops.zeros_like(value), value))


class _StateKeeper(keras.layers.Layer):
    """Saves the state of a hook under a path of the optimizer that stock Keras skips over."""

    def __init__(self, hook):
        super().__init__(name="kerasreg_state")
        self.__dict__["hook"] = hook

    def save_own_variables(self, store):
        for name, variable in self.hook.state.items():
            store[name] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        self.hook.restored = {name: store[name][()] for name in list(store.keys())}
        for name, value in self.hook.restored.items():
            if name in self.hook.state:
                self.hook.state[name].assign(value)


def _on_every_replica(optimizer, variables, function):
    if keras.backend.backend() != "tensorflow":
        for variable in variables:
            function(variable)
        return
    import tensorflow as tf

    # As TFOptimizer does for its own updates and its weight decay.
    def update(strategy, variables):
        for variable in variables:
            strategy.extended.update(variable.value, function, group=False)

    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, variables
    )


def _strategy_scope(optimizer):
    strategy = getattr(optimizer, "_distribution_strategy", None)
    return strategy.scope() if strategy is not None else contextlib.nullcontext()
