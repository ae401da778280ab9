"""How callbacks and contexts enter a train step, check it, and leave it."""

import keras

from kerasreg._graph.variables import require_built
from kerasreg._train_step.hook import UpdateHook
from kerasreg._train_step.traces import forget_traces


class Session:
    """What a callback or context changes in the train step of a model; a context manager.

    `enter` puts it there and `leave` takes it out again, also when `enter` fails. `start` is called
    when weights and optimizer are those that training begins with: in a fit, a checkpoint may be
    loaded between the two. The `coverage` then tells whether the updates had this session in them.

    Args:
        model: a built Keras model.
        optimizer: its optimizer.
        caller: the name of the callback or function, for messages.
        scope: the `FitScope` of the model in a `fit`: it acts in the model's own train step alone,
            and is switched off when the fit ends, however it does. None in a loop of one's own.
    """

    def __init__(self, model, optimizer, caller, scope=None):
        require_built(model, caller)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"`{caller}` needs a Keras optimizer. Received: {optimizer!r}. Compile the model "
                "with one, or pass it."
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
        """Enters the train step, which is then traced again."""
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
            remember: whether `coverage` compares with the weights of now, in a loop of one's own.
        """
        self.coverage.start(remember)

    def require_entered(self):
        """Raise a `RuntimeError` if something has switched this off."""
        if not self._is_on:
            raise RuntimeError(
                f"`{self._caller}` was switched off in the middle, because something called `fit` "
                "or `train_on_batch` of the same model meanwhile. Train another model there, or "
                "after this fit."
            )

    def leave(self):
        """Leaves the train step. The model is restored when the last session leaves."""
        self.switch_off()
        if self._scope is None:
            forget_traces(self._model)
        else:
            self._scope.leave(self)

    def switch_off(self):
        """Undoes the changes in model and optimizer, once. The scope of a fit calls it."""
        if self._is_on:
            self._is_on = False
            self._switch_off()

    def _switch_on(self):
        raise NotImplementedError

    def _switch_off(self):
        raise NotImplementedError


class UpdateSession(Session):
    """A session of updates that run after the optimizer's own.

    A subclass gives `variables`, and makes its updates and its coverage when they are known to
    the optimizer.

    Args: see `Session`.

    Raises:
        ValueError: for variables that the optimizer was not built with, or updates that another
            session already does.
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
