"""Polishing: full-batch proximal steps after training, which remove false non-zeros."""

import contextlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.batches import Batches
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._graph.variables import require_built, require_compiled
from kerasreg._proximal.descent import descend, require_targets
from kerasreg._proximal.frozen_steps import FrozenSteps, present_steps
from kerasreg._proximal.loop import proximal
from kerasreg._proximal.proximal_variables import proximal_variables
from kerasreg._proximal.rates import without_zero_rates
from kerasreg._train_step import TrainedPenalty, UpdateHook, borrowed, forget_traces, require_idle
from kerasreg._train_step.masks import HoldUpdate

_NAME = "kerasreg.polish"


@dataclass(frozen=True)
class Polished(Report):
    """The result of `kerasreg.polish`.

    Attributes:
        zeros_before, zeros_after: int, the number of exact zeros in the variables with a proximal
            operator.
        objective_before, objective_after: float, loss plus penalties over the data, in training
            mode. `objective_after` is computed before debiasing.
        steps: int, the number of steps that lowered the objective, including debiasing.
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
    """Makes proximal steps with the gradient of all data, which removes false non-zeros.

    The noise of mini-batches keeps weights non-zero that are exactly zero at the optimum. Each step
    uses the mean gradient of all data (accumulated over micro-batches, so that memory does not
    grow), the current effective step sizes of the model's optimizer, and the proximal operator. A
    step that raises the objective is undone and repeated with a quarter of its size. After a step
    that lowers the objective, the next one has twice its size. The optimizer of the model and its
    state do not change.

    Args:
        model: a built and compiled Keras model with at least one regularizer that has a proximal
            operator.
        x, y, sample_weight: the training data, as in `fit`: arrays or nested structures of arrays,
            or `x` alone as a finite dataset of batches.
        batch_size: int, number of samples per micro-batch for arrays. None for one batch.
        epochs: int >= 0, number of passes over the data. Each pass makes one proximal step.
        debias_epochs: int >= 0, number of additional passes without the penalties that have a
            proximal operator. Zeros stay zero. This refit removes the shrinkage of the remaining
            weights.
        learning_rate: float > 0, the step size of plain gradient steps, instead of the effective
            step sizes of the optimizer. If it is None and the learning rate of the optimizer has
            decayed to 0, the mean of its schedule is used.

    The objective is computed in training mode: in a model with Dropout it is random, and so is the
    decision to undo a step. BatchNormalization continues to update its moving averages.

    Returns:
        A `kerasreg.results.Polished`, with the zeros and the objective before and after.

    Raises:
        ValueError: if the model is not built or compiled, or has no regularizer with a proximal
            operator, or if the data have no targets or no known length. If `learning_rate` is None,
            also if the learning rate of the optimizer is 0 and it has no schedule, or if the step
            size of the optimizer depends on the gradient (Muon).
        RuntimeError: if it is called during a `fit` or loop in which kerasreg trains this model.

    If an exception occurs, the weights are restored.

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
    """One call of `polish`. The constructor validates the arguments.

    Args:
        data: `(x, y, sample_weight, batch_size)`.

    The other arguments are those of `polish`.

    Raises:
        ValueError: as in `polish`, for everything that can be checked in advance.
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
            require_targets(model, data[1])
        self._targets = [target.variable for target in proximal_variables(model, _NAME)]
        self._build_optimizer()

    def run(self, last_rates=None):
        """Polishes the model.

        Args:
            last_rates: the result of an earlier `positive_rates`, used for learning rates that
                are 0 now.

        Returns:
            A `Polished`.
        """
        model = self._model
        with _borrowed(model, self._data, self._learning_rate, last_rates or {}) as optimizer:
            zeros = _zeros(self._targets)
            with proximal(model, optimizer):
                before, after, taken = descend(model, optimizer, self._data, self._epochs)
            if self._debias_epochs:
                optimizer.scale.assign(1.0)
                with _unpenalised(model, optimizer, self._targets):
                    _, _, more = descend(model, optimizer, self._data, self._debias_epochs)
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
            # For some optimizers, the step size cannot be computed without a gradient.
            present_steps(optimizer, variables)


def _zeros(variables):
    return sum(int(np.sum(ops.convert_to_numpy(variable) == 0)) for variable in variables)


@contextlib.contextmanager
def _borrowed(model, data, learning_rate, last_rates):
    """Replaces the optimizer of the model inside the context."""
    own, variables = model.optimizer, model.trainable_variables
    if learning_rate is None:
        with without_zero_rates(own, last_rates):
            steps, bounds = present_steps(own, variables)
    else:
        steps, bounds = [np.float32(learning_rate)] * len(variables), None
    if not any(np.any(step > 0) for step in steps):
        raise ValueError(
            "`kerasreg.polish` uses the current learning rate of the optimizer, which is 0. "
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
    """Switches the penalties of `variables` off and holds their zeros inside the context."""
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
