"""Clear the false non-zeros of mini-batch noise: large-batch prox steps after training."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.batches import Batches, samples_in
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._common.snapshot import Snapshot, unchanged_by_errors
from kerasreg._graph.variables import require_built, require_compiled
from kerasreg._proximal.frozen_steps import FrozenSteps, present_steps
from kerasreg._proximal.loop import proximal
from kerasreg._proximal.proximal_variables import proximal_variables
from kerasreg._proximal.rates import without_zero_rates
from kerasreg._train_step import TrainedPenalty, UpdateHook, borrowed, forget_traces, require_idle
from kerasreg._train_step.masks import HoldUpdate

_NAME = "kerasreg.polish"


@dataclass(frozen=True)
class Polished(Report):
    """What `kerasreg.polish` did.

    Attributes:
        zeros_before, zeros_after: exact zeros in the variables that have a prox.
        objective_before, objective_after: loss and penalties over the data, in training mode,
            before debiasing.
        steps: the steps that lowered the objective, those of debiasing included.
    """

    zeros_before: int
    zeros_after: int
    objective_before: float
    objective_after: float
    steps: int

    def _sheet(self, width=None):
        zeros = f"{self.zeros_before:,}", f"{self.zeros_after:,}"
        objective = f"{self.objective_before:.6g}", f"{self.objective_after:.6g}"
        return Sheet(
            title="Polishing",
            columns=(*left(""), *right("before", "after")),
            rows=[("zeros", *zeros), ("objective", *objective)],
            notes=(f"steps that lowered the objective: {self.steps:,}",),
        )


def polish(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int | None = 1024,
    epochs: int = 20,
    debias_epochs: int = 0,
    learning_rate: float | None = None,
) -> Polished:
    """Take a few prox steps with the gradient of all data, to clear false non-zeros.

    The noise of mini-batches keeps weights alive that the optimum has at exactly zero. Each step
    here takes the mean gradient of all of `x` (in micro-batches, so memory does not grow), the
    effective step sizes that the model's optimizer has now, and the prox. A step that raises the
    objective is taken back and repeated with a quarter of its size; one that lowers it doubles the
    next. The model's optimizer and its state are left as they are.

    Args:
        model: a built and compiled Keras model with penalties that have a prox.
        x, y, sample_weight: the training data, as arrays or nested structures of arrays, or `x`
            alone as batches: whatever `fit` takes, if it ends.
        batch_size: samples per micro-batch of arrays; None is all in one.
        epochs: passes over the data, each one proximal step.
        debias_epochs: passes after those without the penalties that have a prox, in which zeros
            stay zeros: the refit that removes the shrinkage of the weights that are left.
        learning_rate: plain gradient steps of this size, in place of those of the optimizer. Where
            the optimizer's own rate has come to 0, the mean rate of its schedule is taken.

    The objective is that of training, on the same batches: in a model with Dropout it is a random
    number, and so is the decision to take a step back. BatchNormalization goes on averaging.

    Returns:
        `Polished`, with the zeros and the objective before and after.

    Raises:
        ValueError: for a model that is not built or compiled or has no penalty with a prox, for
            data without targets or without a length, or for an optimizer with a learning rate of
            zero that has no schedule.
        RuntimeError: in a `fit` or loop in which something of kerasreg trains this model. The
            weights are then as before, as after every error.

    Example:

    >>> layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L1(0.1))
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> model.set_weights([np.array([[1.0], [1e-4]])])
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> kerasreg.polish(model, x, y=x[:, :1]).zeros_after
    1
    """
    require_built(model, _NAME)
    require_idle(model, _NAME)
    data = (x, y, sample_weight, batch_size)
    return Polishing(model, data, epochs, debias_epochs, learning_rate).run()


class Polishing:
    """The arguments of `polish`, checked, and what it does with them.

    Args:
        data: `(x, y, sample_weight, batch_size)`.

    The other arguments are those of `polish`.

    Raises:
        ValueError: as `polish`, for what can be told before.
    """

    def __init__(self, model, data, epochs, debias_epochs, learning_rate):
        for name, value in (("epochs", epochs), ("debias_epochs", debias_epochs)):
            validation.integer(value, name, at_least=0)
        learning_rate = validation.number(
            *(learning_rate, "learning_rate"), above=0, none="that of the optimizer"
        )
        require_compiled(model, _NAME)
        self._model = model
        self._epochs, self._debias_epochs = epochs, debias_epochs
        self._learning_rate = learning_rate
        self._data = Batches(*data, _NAME)
        if self._data.are_arrays:
            _require_targets(model, data[1])
        self._targets = [target.variable for target in proximal_variables(model, _NAME)]
        self._build_optimizer()

    def run(self, last_rates=None):
        """Polish.

        Args:
            last_rates: what `positive_rates` gave before, for a learning rate that is 0 now.

        Returns:
            `Polished`.
        """
        model = self._model
        with _borrowed(model, self._data, self._learning_rate, last_rates or {}) as optimizer:
            zeros = _zeros(self._targets)
            with proximal(model, optimizer):
                before, after, taken = _descend(model, optimizer, self._data, self._epochs)
            if self._debias_epochs:
                optimizer.scale.assign(1.0)
                with _unpenalised(model, optimizer, self._targets):
                    _, _, more = _descend(model, optimizer, self._data, self._debias_epochs)
                taken += more
        return Polished(zeros, _zeros(self._targets), before, after, taken)

    def _build_optimizer(self):
        optimizer, variables = self._model.optimizer, self._model.trainable_variables
        if not optimizer.built:
            optimizer.build(variables)
        hook = UpdateHook.of(optimizer)
        try:
            hook.require_known(variables)
        finally:
            hook.release()
        if self._learning_rate is None:
            # Some optimizers have no step size that is known without a gradient.
            present_steps(optimizer, variables)


def _descend(model, optimizer, data, epochs):
    """`(objective before, after, steps that lowered it)`; weights are as before if it fails."""
    with unchanged_by_errors(model.trainable_variables) as kept:
        return _descended(model, optimizer, data, epochs, kept)


def _descended(model, optimizer, data, epochs, kept):
    taken, first = 0, None
    best = first = _pass(model, data)
    if not math.isfinite(first):
        raise ValueError(
            f"The objective of '{model.name}' is {first} before any step of polishing: "
            "look for NaN or infinity in weights and data."
        )
    for _ in range(epochs):
        # What the last pass has made; this pass computes its objective and goes on from it.
        candidate = Snapshot(model.trainable_variables)
        objective = _pass(model, data)
        if objective <= best:
            kept, best, taken = candidate, objective, taken + 1
            optimizer.scale.assign(2.0 * optimizer.scale)
        else:
            kept.restore()
            optimizer.scale.assign(0.25 * optimizer.scale)
            _pass(model, data)
    kept.restore()
    return first, best, taken


def _pass(model, data):
    """The objective of the present weights; ends with one step of the optimizer."""
    total, samples = 0.0, 0
    for batch in data:
        _require_targets(model, batch[1] if len(batch) > 1 else None)
        model.reset_metrics()
        loss = model.train_on_batch(*batch, return_dict=True)["loss"]
        size = samples_in(batch)
        total, samples = total + size * float(loss), samples + size
    return total / samples


def _require_targets(model, y):
    """Raise unless the loss of the model has something to compare the outputs with."""
    is_own = any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("train_step", "compute_loss")
    )
    if y is None and model.loss is not None and not is_own:
        raise ValueError(
            f"`{_NAME}` needs targets, `y`, because '{model.name}' was compiled with the loss "
            f"{model.loss!r}. Received: y=None. Pass `y`, or batches `(x, y)`."
        )


def _zeros(variables):
    return sum(int(np.sum(ops.convert_to_numpy(variable) == 0)) for variable in variables)


@contextlib.contextmanager
def _borrowed(model, data, learning_rate, last_rates):
    """The model with an optimizer of ours in place of its own."""
    own, variables = model.optimizer, model.trainable_variables
    if learning_rate is None:
        with without_zero_rates(own, last_rates):
            steps, bounds = present_steps(own, variables)
    else:
        steps, bounds = [np.float32(learning_rate)] * len(variables), None
    if not any(np.any(step > 0) for step in steps):
        raise ValueError(
            "`kerasreg.polish` takes the present learning rate of the optimizer, which is 0. "
            "Pass `learning_rate`, such as `learning_rate=0.01`."
        )
    scale = float(own.dynamic_scale) if hasattr(own, "dynamic_scale") else None
    accumulation = len(data) if len(data) > 1 else None
    optimizer = FrozenSteps(
        steps, bounds, gradient_accumulation_steps=accumulation, loss_scale_factor=scale
    )
    optimizer.build(variables)
    with borrowed(model, optimizer):
        yield optimizer


@contextlib.contextmanager
def _unpenalised(model, optimizer, variables):
    """Without the penalties of `variables`, and with their zeros held."""
    hook, hold = UpdateHook.of(optimizer), HoldUpdate(variables)
    hook.add(hold)
    hold.hold()
    for variable in variables:
        penalty = TrainedPenalty.of(variable, lambda: True)
        penalty.has_gradient, penalty.scale = False, lambda: 0.0
    forget_traces(model)
    try:
        yield
    finally:
        hook.remove(hold)
        for variable in variables:
            variable.regularizer.has_gradient, variable.regularizer.scale = True, None
            TrainedPenalty.release(variable)
