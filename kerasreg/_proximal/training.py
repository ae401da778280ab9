"""Switch a model and its optimizer to proximal training, and back."""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops

from kerasreg._common.warn import warn
from kerasreg._graph.variables import require_built
from kerasreg._proximal.proximal_variables import proximal_variables
from kerasreg._proximal.stepped import SteppedUpdate
from kerasreg._train_step import (
    Coverage,
    TrainedPenalty,
    UpdateHook,
    forget_traces,
    other_optimizers,
)


@contextlib.contextmanager
def proximal(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Proximal training for a loop of one's own.

    Inside, every `optimizer.apply` ends with the prox of each variable's regularizer, taken with
    the effective step of the optimizer, and the penalties in `model.losses` keep their value but
    have no gradient. On leaving, also through an exception, all is as before.

    Trace your train step (its first call under `tf.function`, `jax.jit`) inside of the context. A
    step that was traced in it keeps its prox: do not use it outside.

    Args:
        model: a built Keras model. At least one trainable variable needs a regularizer with a
            prox (ours, or Keras' `L1`, `L2` and `L1L2`), or a constraint of ours. Others keep their
            gradient.
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
        training.start(remember=True)
        yield
        training.require_all_steps()
    finally:
        training.off()
        forget_traces(model)


class ProximalTraining:
    """The prox of every target in the train step of one optimizer.

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
        self._caller = caller
        self._find(model)
        self._active = active
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._hook = UpdateHook.of(optimizer)
        self._on = False
        try:
            # A layer that was unfrozen after `compile` is unknown to the optimizer.
            self._hook.require_known(self.variables)
            self._update = self._make_update()
            self._hook.require_alone(self._update, caller)
            self.coverage = self._make_coverage(model, optimizer)
        except ValueError:
            self._hook.release()
            raise

    @property
    def variables(self):
        """The variables that get a prox."""
        return [target.variable for target in self._targets]

    def on(self):
        self._add_penalties()
        self._hook.add(self._update)
        self._on = True

    def start(self, remember=False):
        """Call it when the weights and the optimizer are those that training begins with.

        Args:
            remember: whether the weights of now count, in a loop that is looked at only once.
        """
        self._update.settle()
        self.coverage.start(remember)

    def off(self):
        self._on = False
        self._hook.remove(self._update)
        self._remove_penalties()

    def require_on(self):
        """Raise if something has switched this off."""
        if not self._on:
            raise RuntimeError(
                f"`{self._caller}` was switched off in the middle, because something called `fit` "
                "or `train_on_batch` of the same model meanwhile. Train another model there, or "
                "after this fit."
            )

    def require_all_steps(self):
        """Raise, or warn, at the end of a loop, if the optimizer made steps without a prox."""
        self.require_on()
        self.coverage.look_back(strict=True)
        # Everywhere else, an optimizer that was not applied is one that did not train.
        if keras.backend.backend() != "jax" or self.coverage.advanced:
            return
        if not self._update.calls:
            self.coverage.require_advanced(
                "a loop without a step; or one that was compiled before, with the optimizer's "
                "variables of before; or one that does not write its state back."
            )
        warn(
            f"`{self._caller}`: the optimizer made no update as far as its variables say, and so "
            "it is unknown whether all had a prox. Write the state (weights and optimizer) back "
            "before leaving the context."
        )

    def _find(self, model):
        self._targets = proximal_variables(model, self._caller)

    def _make_update(self):
        return _ProxUpdate(self._targets, self._hook, self._active)

    def _add_penalties(self):
        penalised = [each.variable for each in self._targets if each.penalty is not None]
        own = [TrainedPenalty.of(variable, self._active).has_gradient for variable in penalised]
        # A context around this one, for another optimizer, may have been first.
        self._silenced = [variable for variable, it in zip(penalised, own, strict=True) if it]
        for variable in self._silenced:
            variable.regularizer.has_gradient = False

    def _remove_penalties(self):
        for variable in self._silenced:
            if isinstance(variable.regularizer, TrainedPenalty):
                variable.regularizer.has_gradient = True
                TrainedPenalty.release(variable)

    def _make_coverage(self, model, optimizer):
        return Coverage(
            *(optimizer, self.variables, self._update, self._caller, "a prox"),
            "the weights are trained without their penalties' zeros",
            f"{other_optimizers(model)}Give every part the optimizer that trains it, around the "
            "loop or the `fit`: `with kerasreg.proximal(part, its_optimizer):`",
        )


class _ProxUpdate(SteppedUpdate):
    alone_as = "a prox"

    def __init__(self, targets, hook, active):
        super().__init__([target.variable for target in targets], hook, active)
        self._targets = {hook.index(target.variable): target for target in targets}

    def before(self, hook, variable, gradient):
        kept = super().before(hook, variable, gradient)
        if not self._needs_old(hook, variable):
            return kept
        # On torch a tensor of a variable is the variable.
        return (ops.copy(ops.convert_to_tensor(variable)), *kept)

    def __call__(self, hook, variable, learning_rate, before):
        target = self._targets[hook.index(variable)]
        old, kept = None, before
        if self._needs_old(hook, variable):
            old, *kept = before
        step = self.step(variable, learning_rate, kept)
        bound = self.bound(variable, learning_rate, kept)
        scale = getattr(target.variable.regularizer, "scale", None)
        # A tensor for the prox: TensorFlow calls this with variables of its own.
        new = ops.copy(variable)
        return target.prox(old, new, step, None if scale is None else scale(), bound)

    def _needs_old(self, hook, variable):
        target = self._targets[hook.index(variable)]
        return not target.takes_one_step_per_weight or (
            target.penalty is not None and self.is_bounded(variable)
        )
