"""Extra optimizer variables, which the compiled steps of all backends can read and write.

Keras does not load the state of an optimizer from a checkpoint with additional variables. These
variables are therefore excluded from that state, and saved under a path that Keras ignores.
"""

import contextlib

import keras


class State:
    """The extra variables of one optimizer, which may contain several plain optimizers.

    Args:
        parts: the plain optimizers that own the variables.
        wrappers: the optimizers that contain them, and save their variables a second time.
    """

    def __init__(self, parts, wrappers):
        self.variables = {}
        #: Arrays that are saved with the variables, by name; the compiled step does not use them.
        self.arrays = {}
        #: Values that were loaded from a checkpoint, by name.
        self.restored = {}
        #: Functions that return context managers, which are entered while an optimizer is loaded.
        self.around_loading = []
        self._owners, self._unsaved = {}, set()
        self._savers = [*parts, *wrappers]

    def __contains__(self, name):
        return name in self.variables

    def __getitem__(self, name):
        return self.variables[name]

    @property
    def saved(self):
        """The variables that checkpoints contain, by name."""
        return {k: v for k, v in self.variables.items() if k not in self._unsaved}

    def add(self, owner, name, shape, initial=0.0, dtype="float32", reference=None, saved=True):
        """Returns the variable of this name, which is created in the optimizer `owner` if needed.

        If it has the shape of `reference`, a model variable, it is sharded in the same way.
        """
        if name in self.variables:
            return self.variables[name]
        alike = reference is not None and tuple(reference.shape) == shape
        layout = getattr(reference, "_layout", None) if alike else None
        constant = keras.initializers.Constant(initial)
        with _strategy_scope(owner):
            variable = owner.add_variable(shape, constant, dtype, layout=layout, name=name)
        if not saved:
            self._unsaved.add(name)
        elif name in self.restored:
            variable.assign(self.restored[name])
        self.variables[name] = variable
        self._owners[name] = owner
        return variable

    def patch(self):
        """Excludes the variables from the optimizer state that Keras saves."""
        for saver in self._savers:
            saver.__dict__["save_own_variables"] = self._without(saver.save_own_variables)
            saver.__dict__["load_own_variables"] = self._loading(saver.load_own_variables)
            saver.__dict__["stateless_apply"] = self._stateless(saver)

    def unpatch(self):
        """Removes the variables."""
        for name, variable in self.variables.items():
            self._owners[name]._untrack_variable(variable)
        for owner in {id(owner): owner for owner in self._owners.values()}.values():
            _renew_list(owner)
        self.variables, self.arrays, self._owners = {}, {}, {}
        for saver in self._savers:
            saver.__dict__.pop("save_own_variables", None)
            saver.__dict__.pop("load_own_variables", None)
            saver.__dict__.pop("stateless_apply", None)

    def _without(self, method):
        def without_state(store):
            with self._hidden():
                method(store)

        return without_state

    def _stateless(self, optimizer):
        stateless_apply = optimizer.stateless_apply

        def apply(optimizer_variables, grads, trainable_variables):
            received, expected = len(optimizer_variables), len(optimizer.variables)
            if received < expected:
                raise ValueError(
                    f"The optimizer '{optimizer.name}' has {expected} variables, of which kerasreg "
                    f"added {len(self.variables)}. Received: {received} values. Read "
                    "`optimizer.variables` inside the context, not before it."
                )
            return stateless_apply(optimizer_variables, grads, trainable_variables)

        return apply

    def _loading(self, method):
        def load(store):
            with contextlib.ExitStack() as stack:
                for context in self.around_loading:
                    stack.enter_context(context())
                self._without(method)(store)

        return load

    @contextlib.contextmanager
    def _hidden(self):
        for name, variable in self.variables.items():
            self._owners[name]._untrack_variable(variable)
        try:
            yield
        finally:
            for name, variable in self.variables.items():
                self._owners[name]._track_variable(variable)


class StateKeeper(keras.layers.Layer):
    """Saves the state of a hook under a path that Keras without kerasreg ignores."""

    def __init__(self, hook):
        super().__init__(name="kerasreg_state")
        self.__dict__["hook"] = hook

    def save_own_variables(self, store):
        for name, value in (self.hook.state.saved | self.hook.state.arrays).items():
            store[name] = keras.ops.convert_to_numpy(value)

    def load_own_variables(self, store):
        state = self.hook.state
        state.restored = {name: store[name][()] for name in list(store.keys())}
        for name, value in state.restored.items():
            if name in state.saved:
                state[name].assign(value)


def _strategy_scope(optimizer):
    strategy = getattr(optimizer, "_distribution_strategy", None)
    return strategy.scope() if strategy is not None else contextlib.nullcontext()


def _renew_list(optimizer):
    """Replaces the tracked lists, because TensorFlow cannot export a list with removed items."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # `__setattr__` of Keras and TensorFlow would track every variable a second time.
        fresh = tf.__internal__.tracking.wrap(list(optimizer._variables))
        optimizer.__dict__["_variables"] = fresh
        optimizer._track_trackable(fresh, "_variables", overwrite=True)
        condition, _ = optimizer._tracker.config["variables"]
        optimizer._tracker.config["variables"] = (condition, fresh)
