"""What must be alone in a fit says so, at once, and the model is as it was."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from watched import PLAIN, attributes

import kerasreg
from kerasreg import schedules
from kerasreg.callbacks import (
    CoupledGroupLasso,
    PenaltySchedule,
    ProximalGradient,
    Pruning,
    ThresholdPruning,
)


def net():
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(8, "relu", kernel_regularizer="l1", name="hidden")
    head = layers.Dense(1, kernel_regularizer="l1", name="head")
    model = keras.Sequential([keras.Input((4,)), hidden, head], name="net")
    model.compile(optimizers.Adam(0.01), "mse", **PLAIN)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, *callbacks):
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    return model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=list(callbacks))


class Composite(keras.callbacks.Callback):
    """A user's callback that calls others."""

    def __init__(self, *callbacks):
        super().__init__()
        self.callbacks = callbacks

    def set_model(self, model):
        super().set_model(model)
        for each in self.callbacks:
            each.set_model(model)

    def on_train_begin(self, logs=None):
        for each in self.callbacks:
            each.set_params(self.params)
            each.on_train_begin(logs)


def once(sparsity):
    return Pruning(schedules.OneShot(sparsity, 1))


same = ProximalGradient()
TWICE = [
    ("a proximal step to net/hidden/kernel", (ProximalGradient(), ProximalGradient())),
    ("a proximal step to net/hidden/kernel", (same, same)),
    ("a proximal step to net/hidden/kernel", (ProximalGradient(), Composite(ProximalGradient()))),
    (
        "a proximal step to net/hidden/kernel",
        (CoupledGroupLasso(), ProximalGradient(), ProximalGradient()),
    ),
    (
        "a proximal step of coupled units to net/hidden",
        (CoupledGroupLasso(), CoupledGroupLasso(0.1)),
    ),
    ("a pruning schedule to net/hidden/kernel", (once(0.5), once(0.9))),
    ("at most one PenaltySchedule", (PenaltySchedule(), ProximalGradient(), PenaltySchedule())),
]


def test_two_callbacks_of_one_kind_raise():
    model = net()
    fit(model)
    before, regularizers = attributes(model), [v.regularizer for v in model.weights]
    for message, callbacks in TWICE:
        with pytest.raises(ValueError, match=message):
            fit(model, *callbacks)
        assert attributes(model) == before
        assert [v.regularizer for v in model.weights] == regularizers


def test_a_callback_inside_of_a_context_and_contexts_in_contexts():
    model = net()
    fit(model)
    before, regularizers = attributes(model), [v.regularizer for v in model.weights]
    with kerasreg.proximal(model, model.optimizer):
        for attempt in (
            lambda: fit(model, ProximalGradient()),
            lambda: kerasreg.proximal(model, model.optimizer).__enter__(),
        ):
            with pytest.raises(
                ValueError, match="a proximal step to net/hidden/kernel, net/head/kernel"
            ):
                attempt()
        fit(model)
    with kerasreg.pruning(model, model.optimizer, schedules.OneShot(0.5)):
        with pytest.raises(ValueError, match="a pruning schedule to"):
            fit(model, Pruning(schedules.Hold()))
        fit(model)
    assert attributes(model) == before
    assert [v.regularizer for v in model.weights] == regularizers


def test_callbacks_that_may_be_combined():
    model = net()
    regularizers = [v.regularizer for v in model.weights]
    fit(
        model,
        *(ProximalGradient(), CoupledGroupLasso(include="hidden"), PenaltySchedule()),
        *(Pruning(schedules.OneShot(0.5, 1), include="hidden/kernel"), ThresholdPruning(0.01)),
        *(Pruning(0.5, include="head/kernel"), ThresholdPruning(0.01, at=0, hold=True)),
    )
    other = optimizers.SGD(0.1)
    with kerasreg.proximal(model, model.optimizer):
        with kerasreg.proximal(model, other):
            other.apply([0 * v for v in model.trainable_variables], model.trainable_variables)
        # The outer one still keeps the gradient of the penalty away.
        assert not model.get_layer("hidden").kernel.regularizer.has_gradient
        fit(model)
    assert [v.regularizer for v in model.weights] == regularizers
