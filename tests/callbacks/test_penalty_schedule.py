"""Penalties that grow: every step against a simulation in NumPy."""

import keras
import needs
import numpy as np
import pytest
from keras.optimizers import schedules
from problems import diabetes, kernel, linear, train

from kerasreg.callbacks import PenaltySchedule, ProximalGradient, SparsityLogger
from kerasreg.regularizers import L1, L2

RATE, FACTOR = 0.05, 0.4
BACKEND = keras.backend.backend()
SCHEDULES = {
    "warm-up": (PenaltySchedule(warmup_steps=5), lambda k: float(k >= 5)),
    "ramp": (PenaltySchedule(warmup_steps=3, ramp_steps=10), lambda k: np.clip((k - 3) / 10, 0, 1)),
    "Keras": (
        PenaltySchedule(schedules.PolynomialDecay(0.0, 20, end_learning_rate=2.0)),
        lambda k: 2 * min(k / 20, 1),
    ),
    "function": (
        PenaltySchedule(lambda k: 1 / (1 + keras.ops.cast(k, "float32"))),
        lambda k: 1 / (1 + k),
    ),
}
every_schedule = pytest.mark.parametrize(("callback", "scale"), SCHEDULES.values(), ids=SCHEDULES)


def simulated(w, scale, steps, penalty):
    x, y = diabetes()
    for k in range(steps):
        gradient = 2 * x.T @ (x @ w - y) / len(x)
        if penalty == "l2":
            w = w - RATE * (gradient + 2 * scale(k) * FACTOR * w)
        else:
            z = w - RATE * gradient
            w = np.sign(z) * np.maximum(abs(z) - RATE * scale(k) * FACTOR, 0)
    return w


@every_schedule
@pytest.mark.parametrize("order", ["schedule first", "prox first"])
def test_proximal_steps_are_scaled(callback, scale, order):
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    start = kernel(model)
    callbacks = [callback, ProximalGradient()]
    train(model, *diabetes(), 30, callbacks if order == "schedule first" else callbacks[::-1])
    expected = simulated(start, scale, 30, "l1")
    np.testing.assert_allclose(kernel(model), expected, atol=1e-5)
    np.testing.assert_array_equal(kernel(model) == 0, expected == 0)


@every_schedule
def test_gradients_of_penalties_are_scaled(callback, scale):
    model = linear(10, keras.regularizers.L2(FACTOR))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    start = kernel(model)
    train(model, *diabetes(), 30, [callback])
    np.testing.assert_allclose(kernel(model), simulated(start, scale, 30, "l2"), atol=1e-5)


@needs.SEVERAL_STEPS
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_scale_is_exact_with_steps_per_execution(jit_compile):
    callback, scale = SCHEDULES["ramp"]
    model = linear(10, L1(FACTOR))
    model.compile(
        keras.optimizers.SGD(RATE), "mse", steps_per_execution=10, jit_compile=jit_compile
    )
    start = kernel(model)
    train(model, *diabetes(), 30, [callback, ProximalGradient()])
    np.testing.assert_allclose(kernel(model), simulated(start, scale, 30, "l1"), atol=1e-5)


def test_an_accumulation_of_gradients_is_one_step():
    callback, scale = SCHEDULES["ramp"]
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(RATE, gradient_accumulation_steps=3), "mse")
    start = kernel(model)
    train(model, *diabetes(), 45, [callback, ProximalGradient()])
    np.testing.assert_allclose(kernel(model), simulated(start, scale, 15, "l1"), atol=1e-5)


@pytest.mark.filterwarnings("ignore:PenaltySchedule ended at a scale")
def test_a_second_fit_continues_the_steps():
    callback, scale = SCHEDULES["ramp"]
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    start = kernel(model)
    for _ in range(3):
        train(model, *diabetes(), 10, [callback, ProximalGradient()])
    np.testing.assert_allclose(kernel(model), simulated(start, scale, 30, "l1"), atol=1e-5)


def test_the_train_step_is_not_traced_again():
    traces = []

    class Counting(L1):
        def _prox(self, weights, step):
            traces.append(1)
            return super()._prox(weights, step)

    model = linear(10, Counting(FACTOR))
    model.compile(keras.optimizers.SGD(RATE), "mse")
    train(model, *diabetes(), 5, [SCHEDULES["ramp"][0], ProximalGradient()], epochs=4)
    assert len(traces) <= (20 if BACKEND == "torch" else 2)


def test_the_scale_is_in_the_logs_and_in_the_loss(tmp_path):
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    csv = tmp_path / "log.csv"
    callbacks = [
        keras.callbacks.CSVLogger(csv),
        SparsityLogger(tmp_path),
        ProximalGradient(),
        PenaltySchedule(warmup_steps=1, ramp_steps=4),
    ]
    history = train(model, *diabetes(), 1, callbacks, epochs=6).history
    assert history["penalty_scale"] == [0, 0, 0.25, 0.5, 0.75, 1]
    assert "penalty_scale" in csv.read_text()
    assert all(np.array(history["sparsity"]) == 0)
    x, y = diabetes()
    error = np.mean((y - x @ kernel(model)) ** 2)
    penalty = FACTOR * np.abs(kernel(model)).sum()
    expected = [error + scale * penalty for scale in history["penalty_scale"]]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(error + penalty, rel=1e-5)


def test_two_schedules_scale_two_layers():
    layers = [keras.layers.Dense(9, name=name, kernel_regularizer=L1(0.5)) for name in "ab"]
    last = keras.layers.Dense(1, kernel_regularizer=L2(0.001))
    model = keras.Sequential([keras.Input((10,)), *layers, last])
    model.compile(keras.optimizers.SGD(0.02), "mse")
    callbacks = [
        PenaltySchedule(warmup_steps=100, include="a/"),
        PenaltySchedule(include="b/"),
        ProximalGradient(),
    ]
    own = [layer.kernel.regularizer for layer in layers]
    with pytest.warns(UserWarning, match="ended at a scale of 0:"):
        train(model, *diabetes(), 20, callbacks)
    assert np.all(kernel(model) != 0)
    assert 0 < np.mean(layers[1].get_weights()[0] == 0) < 1
    assert [layer.kernel.regularizer for layer in layers] == own
    with pytest.raises(ValueError, match=r"at most one PenaltySchedule.*several for .*a/kernel"):
        train(model, *diabetes(), 1, [PenaltySchedule(), PenaltySchedule(include="a/")])


@pytest.mark.parametrize("callbacks", [[], [ProximalGradient()]])
def test_an_interrupted_fit_leaves_nothing_behind(callbacks):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = linear(10, L2(FACTOR))
    own = model.layers[0].kernel.regularizer
    model.compile(keras.optimizers.SGD(RATE), "mse")
    with pytest.raises(KeyboardInterrupt):
        train(model, *diabetes(), 3, [PenaltySchedule(warmup_steps=9), *callbacks, Stop()])
    start = kernel(model)
    train(model, *diabetes(), 1, [])
    assert model.layers[0].kernel.regularizer is own
    np.testing.assert_allclose(kernel(model), simulated(start, lambda k: 1, 1, "l2"), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": 0.5}, r"`schedule` must be.*LearningRateSchedule.*Received: schedule=0\.5"),
        ({"warmup_steps": -1}, r"`warmup_steps` must be.*Received: warmup_steps=-1"),
        ({"ramp_steps": 0.5}, r"`ramp_steps` must be.*Received: ramp_steps=0\.5"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        PenaltySchedule(**arguments)


@pytest.mark.parametrize(("regularizer", "include"), [(None, None), ("l1", "no such path")])
def test_a_model_without_matching_penalties_raises(regularizer, include):
    model = linear(10, regularizer)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"PenaltySchedule expects.*regularizers on trainable"):
        train(model, *diabetes(), 1, [PenaltySchedule(include=include)])


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_an_invalid_scale_raises(value):
    model = linear(10, "l1")
    model.compile("sgd", "mse")
    start = kernel(model)
    with pytest.raises(ValueError, match=r"finite numbers >= 0. Received: "):
        train(model, *diabetes(), 1, [PenaltySchedule(lambda step: value)])
    np.testing.assert_array_equal(kernel(model), start)


@pytest.mark.parametrize("include", ["(", 3])
def test_an_invalid_expression_raises(include):
    with pytest.raises(ValueError, match=r"`include` must be a regular expression. Received: incl"):
        PenaltySchedule(include=include)
