"""The sessions of one `fit`, and the changes of the model that they need."""

import contextlib

import keras

from kerasreg._common.snapshot import Snapshot
from kerasreg._train_step.traces import renew


class FitScope:
    """The sessions of one `fit` of a model. Use `FitScope.of(model)`.

    `inside()` returns whether the model's own train step is running or being traced. After an
    interrupted `fit`, the changes remain until the next `fit`; they have no effect elsewhere,
    because `inside` returns False there.
    """

    _ATTRIBUTE = "_kerasreg_scope"

    def __init__(self, model):
        self.model = model
        #: Functions without arguments that return additional penalties of the loss.
        self.penalties = []
        #: Factors of these penalties: (regular expression, function that returns a scalar).
        self.schedules = []
        #: The sessions that this fit has entered.
        self.sessions = []
        self._depth = 0
        self._optimizer_values = {}

    @classmethod
    def of(cls, model):
        scope = model.__dict__.get(cls._ATTRIBUTE)
        if scope is None:
            scope = model.__dict__[cls._ATTRIBUTE] = cls(model)
            scope._patch()
        return scope

    @classmethod
    def sessions_of(cls, model):
        """Returns the sessions of the current fit of a model."""
        scope = model.__dict__.get(cls._ATTRIBUTE)
        return [] if scope is None else list(scope.sessions)

    def inside(self):
        return self._depth > 0

    def value(self, variable):
        """Returns the value of an optimizer variable in the train step that runs or is traced.

        On JAX, reading the variable itself while the loss is traced would give a constant.
        """
        return self._optimizer_values.get(id(variable), variable)

    def enter(self, session):
        """Adds a session and forces a new trace. It is switched off when the fit ends or fails."""
        self.sessions.append(session)
        self._trace_anew()

    def leave(self, session):
        """Removes a session. The model is restored when the last one is removed."""
        if session in self.sessions:
            self.sessions.remove(session)
            session.switch_off()
        self.release()
        self.model.train_function = None

    def abandon(self):
        """Restores the model after a fit that was interrupted."""
        for session in list(self.sessions):
            self.leave(session)
        self.release()

    def release(self):
        """Restores the model if it has no session."""
        if not self.sessions:
            self._unpatch()

    def _trace_anew(self):
        self.model.train_function = None
        self.model.make_train_function(force=True)

    def _patch(self):
        model = self.model
        train_step, make_train_function = model.train_step, model.make_train_function

        def train_step_inside(*args, **kwargs):
            self._depth += 1
            if keras.backend.backend() == "jax":
                self._optimizer_values = _optimizer_values(model, *args)
            try:
                return train_step(*args, **kwargs)
            finally:
                self._depth -= 1
                self._optimizer_values = {}

        def make_train_function_after(force=False):
            # Keras calls this without `force` only at the start of a fit, so a session that still
            # exists belongs to an interrupted fit.
            if self.sessions and not force:
                self.abandon()
            return make_train_function(force=force)

        # Keras has no public method for adding a penalty of several variables.
        own_penalties = model._get_regularization_losses

        def with_penalties():
            return [*own_penalties(), *(penalty() for penalty in self.penalties)]

        model.__dict__["train_step"] = train_step_inside
        model.__dict__["make_train_function"] = make_train_function_after
        model.__dict__["_get_regularization_losses"] = with_penalties

    def _unpatch(self):
        patched = "train_step", "make_train_function", "_get_regularization_losses"
        for name in (*patched, self._ATTRIBUTE):
            self.model.__dict__.pop(name, None)


def _optimizer_values(model, state, *_):
    # `state` is the argument of `JAXTrainer.train_step`.
    variables = model.optimizer.variables if model.optimizer is not None else ()
    return {id(v): value for v, value in zip(variables, state[2], strict=True)}


@contextlib.contextmanager
def borrowed(model, optimizer):
    """Gives the model another optimizer inside the context."""
    own, model.optimizer = model.optimizer, optimizer
    # A running fit needs its metrics afterwards.
    metrics = Snapshot(model.metrics_variables)
    renew(model)
    try:
        yield
    finally:
        model.optimizer = own
        model.reset_metrics()
        metrics.restore()
        renew(model)
