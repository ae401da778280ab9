"""The base classes of changes to a train step, which callbacks and contexts enter and leave."""

import keras

from kerasreg._graph.variables import require_built
from kerasreg._train_step.hook import UpdateHook
from kerasreg._train_step.traces import forget_traces


class Session:
    """A change of the train step of a model; a context manager.

    `enter` makes the change and `leave` undoes it, also if `enter` fails. `start` is called when
    training starts: in a fit, a checkpoint may be loaded between `enter` and `start`. The
    `coverage` then checks that the updates included the change.

    Args:
        model: a built Keras model.
        optimizer: its optimizer.
        caller: the name of the callback or function, for messages.
        scope: the `FitScope` of the model in a `fit`: the session has an effect only in the
            model's own train step, and is switched off when the fit ends or fails. None in a
            custom training loop.
    """

    def __init__(self, model, optimizer, caller, scope=None):
        require_built(model, caller)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"`{caller}` needs a Keras optimizer. Received: {optimizer!r}. Compile the model "
                "with one, or pass one."
            )
        self._model, self._optimizer, self._caller, self._scope = model, optimizer, caller, scope
        self._active = (lambda: True) if scope is None else scope.inside
        self._is_on = False
        #: The `Coverage` of the fit or loop.
        self.coverage = None

    def __enter__(self):
        self.enter()
        return self

    def __exit__(self, *_):
        self.leave()

    def enter(self):
        """Changes the train step, which is then traced again."""
        self._is_on = True
        try:
            self._switch_on()
            if self._scope is None:
                forget_traces(self._model)
            else:
                self._scope.enter(self)
        except BaseException:
            self.leave()
            raise

    def start(self, remember=False):
        """Starts the checks when training starts.

        Args:
            remember: whether `coverage` stores the current weights, in a custom training loop.
        """
        self.coverage.start(remember)

    def require_entered(self):
        """Raises a `RuntimeError` if the session was switched off."""
        if not self._is_on:
            raise RuntimeError(
                f"`{self._caller}` was switched off during training, because something called "
                "`fit` or `train_on_batch` of the same model. Train a copy of the model instead, "
                "or train after this fit."
            )

    def leave(self):
        """Undoes the change. The model is restored when the last session leaves."""
        self.switch_off()
        if self._scope is None:
            forget_traces(self._model)
        else:
            self._scope.leave(self)

    def switch_off(self):
        """Undoes the changes of model and optimizer, once. `FitScope` calls this."""
        if self._is_on:
            self._is_on = False
            self._switch_off()

    def _switch_on(self):
        raise NotImplementedError

    def _switch_off(self):
        raise NotImplementedError


class UpdateSession(Session):
    """A session of updates that run after the optimizer's own.

    A subclass defines `variables`, and creates the updates and the coverage. This happens after
    the check that the optimizer knows the variables.

    Args: see `Session`.

    Raises:
        ValueError: for variables that the optimizer was not built with, or updates that another
            session has already added.
    """

    def __init__(self, model, optimizer, caller, scope=None):
        super().__init__(model, optimizer, caller, scope)
        self._find()
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._hook = UpdateHook.of(optimizer)
        try:
            # A layer that was unfrozen after `compile` is unknown to the optimizer.
            self._hook.require_known(self.variables)
            self._updates = self._make_updates()
            for update in self._updates:
                self._hook.require_alone(update, caller)
            self.coverage = self._make_coverage()
        except ValueError:
            self._hook.release()
            raise

    @property
    def variables(self):
        """The variables that are updated."""
        raise NotImplementedError

    def _find(self):
        """Finds the variables to update."""

    def _make_updates(self):
        raise NotImplementedError

    def _make_coverage(self):
        raise NotImplementedError

    def _switch_on(self):
        for update in self._updates:
            self._hook.add(update)

    def _switch_off(self):
        for update in self._updates:
            self._hook.remove(update)
        self._hook.release()
