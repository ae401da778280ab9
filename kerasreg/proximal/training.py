"""Switch a model and its optimizer to proximal training, and back."""

import contextlib

import keras
from keras import ops

from kerasreg.proximal.step_sizes import StepSize
from kerasreg.regularizers.keras_own import with_prox
from kerasreg.train_step import Update, UpdateHook, forget_traces
from kerasreg.variables import require_built


@contextlib.contextmanager
def proximal(model, optimizer):
    """Proximal training for a loop of one's own.

    Inside, every `optimizer.apply` ends with the prox of each variable's regularizer, taken with
    the effective step of the optimizer, and the penalties in `model.losses` keep their value but
    have no gradient. On leaving, also through an exception, all is as before.

    Trace your train step (its first call under `tf.function`, `jax.jit`) inside of the context.

    Args:
        model: a built Keras model. At least one trainable variable needs a regularizer with a
            prox: ours, or Keras' `L1`, `L2` and `L1L2`. Others keep their gradient.
        optimizer: the Keras optimizer that the loop applies; it is built if it is not.

    Raises:
        ValueError: unbuilt model, unsupported optimizer, or nothing to do.
        RuntimeError: on leaving, if the optimizer went on but no prox ever ran, because the
            step was traced before.

    Example:

    >>> layer = keras.layers.Dense(1, kernel_regularizer="l1")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.set_weights([np.array([[1.0], [0.0005]]), np.zeros(1)])
    >>> optimizer = keras.optimizers.SGD(0.1)
    >>> with kerasreg.proximal(model, optimizer):
    ...     weights = model.trainable_variables
    ...     optimizer.apply([0 * weight for weight in weights], weights)
    >>> (np.asarray(layer.kernel) == 0).tolist()
    [[False], [True]]
    """
    training = ProximalTraining(model, optimizer, caller="kerasreg.proximal")
    training.on()
    forget_traces(model)
    try:
        training.start()
        yield
        training.require_steps()
    finally:
        training.off()
        forget_traces(model)


class ProximalTraining:
    """The prox of every penalised variable in the train step of one optimizer.

    Args:
        model: a built Keras model.
        optimizer: its optimizer.
        caller: who asks, for error messages.
        active: whether the running code is a train step that this is about.
    """

    def __init__(self, model, optimizer, caller, active=lambda: True):
        require_built(model, caller)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"`{caller}` needs a Keras optimizer. Received: {optimizer!r}. Compile the model "
                "with one, or pass it."
            )
        self._penalties = _penalties(model, caller)
        self._optimizer = optimizer
        self._caller = caller
        self._active = active
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        hook = UpdateHook.of(optimizer)
        self._hook = hook
        self._on = False
        try:
            # A layer that was unfrozen after `compile` is unknown to the optimizer.
            hook.optimizer._check_variables_are_known(self.variables)
            self._update = _ProxUpdate(self._penalties, hook.optimizer, active)
        except ValueError:
            hook.release()
            raise

    @property
    def variables(self):
        """The variables that get a prox."""
        return [variable for variable, _, _ in self._penalties]

    def on(self):
        for variable, own, _ in self._penalties:
            variable.regularizer = ValueOnly(own, self._active)
        self._hook.add(self._update)
        self._on = True

    def start(self):
        """Call it when the weights and the optimizer are those that training begins with."""
        self._update.settle(self._hook)
        self._iterations = self._done()

    def off(self):
        self._on = False
        self._hook.remove(self._update)
        for variable, own, _ in self._penalties:
            if isinstance(variable.regularizer, ValueOnly):
                variable.regularizer = own

    def require_steps(self):
        """Raise if the optimizer went on without a prox."""
        if not self._on:
            raise RuntimeError(
                f"`{self._caller}` was switched off in the middle, because something called `fit` "
                "or `train_on_batch` of the same model meanwhile. Train another model there, or "
                "after this fit."
            )
        if self._done() > self._iterations and not self._update.calls:
            raise RuntimeError(
                f"`{self._caller}` was on, and the optimizer made steps, but none with a prox: "
                "the weights were trained without their penalties' zeros. The train step was "
                "compiled before, or it uses another optimizer. Trace it inside of the context, "
                "and pass the optimizer that it applies."
            )

    def _done(self):
        return int(ops.convert_to_numpy(self._hook.optimizer._iterations))


class _ProxUpdate(Update):
    def __init__(self, penalties, optimizer, active):
        super().__init__([variable for variable, _, _ in penalties], active)
        self._prox = {
            optimizer._get_variable_index(variable): penalty.prox
            for variable, _, penalty in penalties
        }
        self._step = StepSize(optimizer)
        self._gains = {}

    def create_state(self, hook):
        for variable in self.variables:
            shape = self._step.gain_shape(variable)
            if shape is not None:
                index = hook.optimizer._get_variable_index(variable)
                self._gains[index] = hook.add_state(_state_name(index), variable, shape)

    def settle(self, hook):
        """Give momentum its past where no checkpoint did."""
        for index, gain in self._gains.items():
            if _state_name(index) not in hook.restored:
                settled = self._step.settled_gain(index)
                gain.assign(ops.broadcast_to(ops.cast(settled, gain.dtype), gain.shape))

    def __call__(self, optimizer, index, variable, learning_rate):
        gain = self._gains.get(index)
        before = None if gain is None else ops.cast(ops.convert_to_tensor(gain), "float32")
        step, after = self._step(index, learning_rate, before)
        if gain is not None:
            optimizer.assign(gain, after)
        return self._prox[index](variable, step)


class ValueOnly(keras.regularizers.Regularizer):
    """A penalty that stays in the loss and leaves the gradient to the prox."""

    def __init__(self, regularizer, active):
        self.regularizer = regularizer
        self._active = active

    def __call__(self, weights):
        penalty = self.regularizer(weights)
        return ops.stop_gradient(penalty) if self._active() else penalty


def _penalties(model, caller):
    """`[(variable, its regularizer, the same with a prox)]`."""
    found = []
    for variable in model.trainable_variables:
        own = variable.regularizer
        penalty = with_prox(own)
        if penalty is not None:
            penalty.check(variable.shape, variable.path)
            found.append((variable, own, penalty))
    if not found:
        others = [v.path for v in model.trainable_variables if v.regularizer is not None]
        raise ValueError(
            f"`{caller}` found no trainable variable with a regularizer that has a prox in "
            f"'{model.name}'. Expected `kerasreg.regularizers` or Keras' L1, L2, L1L2; received "
            + (f"other regularizers on {others}." if others else "no regularizer at all.")
            + " Pass `kernel_regularizer=` to the layers, or use `kerasreg.attach(model, rules)`."
        )
    return found


def _state_name(index):
    return f"gain_{index}"
