"""With several optimizers, averages, weight decay or LoRA, zeros are those of the optimum.

`test_training.py` has the modes of `compile` and the custom loops.
"""

import keras
import numpy as np
import pytest
from problems import batches, compile_fast, diabetes, kernel, lasso, linear, solution, train
from sklearn.linear_model import ElasticNet

import kerasreg
from kerasreg.callbacks import PenaltySchedule, ProximalGradient, ThresholdPruning
from kerasreg.regularizers import L1, GroupLasso

FACTOR = 0.2
BACKEND = keras.backend.backend()
has_multi_optimizer = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="needs a newer Keras"
)


def reference(model=None):
    return lasso(*diabetes(), FACTOR) if model is None else solution(model, *diabetes())


def objective(w):
    x, y = diabetes()
    return np.mean((y - x.astype("float64") @ w) ** 2) + FACTOR * np.abs(w).sum()


def assert_lasso(w, tolerance=1e-5):
    w = w.astype("float64")
    assert np.array_equal(w != 0, reference() != 0)
    assert objective(w) - objective(reference()) <= tolerance * objective(reference())


def two_halves():
    """The linear model of the diabetes data, as a sum of two layers with five features each."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((10,))
    outputs = [
        keras.layers.Dense(1, use_bias=False, kernel_regularizer=L1(FACTOR), name=name)(part)
        for name, part in (("left", inputs[:, :5]), ("right", inputs[:, 5:]))
    ]
    return keras.Model(inputs, keras.layers.Add()(outputs))


def both_kernels(model):
    return np.concatenate([np.array(keras.ops.convert_to_numpy(w)) for w in model.weights])


def several(rate=0.01, **kwargs):
    """SGD with momentum for the left half, Adam for the right one."""
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.Adam(rate, **kwargs),
            {"left.*": keras.optimizers.SGD(rate, momentum=0.9, **kwargs)},
        )
    )


@has_multi_optimizer
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"gradient_accumulation_steps": 2},
        {"clipnorm": 0.5},
        {"use_ema": True, "ema_momentum": 0.8},
    ],
    ids=repr,
)
def test_several_optimizers_reach_the_optimum(kwargs):
    model = two_halves()
    compile_fast(model, several(**kwargs), "mse")
    train(model, *diabetes(), 3000)
    assert_lasso(both_kernels(model))
    assert not any("kerasreg" in name for part in model.optimizer.optimizers for name in vars(part))


@has_multi_optimizer
def test_several_optimizers_reach_the_optimum_in_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = two_halves()
        model.compile(several(), "mse")
        train(model, *diabetes(), 1500)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert_lasso(both_kernels(model), tolerance=1e-3)


@has_multi_optimizer
def test_pruned_weights_stay_zero_with_several_optimizers():
    model = two_halves()
    model.compile(several(), "mse")
    pruning = ThresholdPruning(0.1, at=0, hold=True)
    train(model, *diabetes(), 20, [pruning], epochs=4)
    pruned = sum(row.zeros for row in kerasreg.statistics(model))
    assert 0 < pruned < 10
    assert np.sum(both_kernels(model) == 0) == pruned


@has_multi_optimizer
def test_a_checkpoint_of_several_optimizers_opens_in_stock_keras(tmp_path):
    """It has the state of all optimizers, and training continues as if it had not stopped."""
    path = tmp_path / "{epoch}.keras"
    callbacks = [ProximalGradient(), keras.callbacks.ModelCheckpoint(path)]
    x, y = diabetes()
    whole = two_halves()
    whole.compile(several(), "mse")
    whole.fit(x, y, batch_size=442, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
    half = keras.models.load_model(tmp_path / "3.keras")
    plain = two_halves()
    plain.compile(several(), "mse")
    plain.fit(x, y, batch_size=442, epochs=3, verbose=0)
    assert len(half.optimizer.variables) == len(plain.optimizer.variables)
    assert int(half.optimizer.iterations) == 3
    half.fit(x, y, batch_size=442, epochs=3, shuffle=False, verbose=0, callbacks=callbacks[:1])
    np.testing.assert_allclose(both_kernels(half), both_kernels(whole), atol=1e-7)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averages_that_swap_ema_weights_assigns_have_the_zeros(swap_on_epoch):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append(kernel(self.model))

    x, y = diabetes()
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse")
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch)
    callbacks = [ProximalGradient(), Look(), swap]
    model.fit(
        batches(x, y), steps_per_epoch=100, epochs=6, verbose=0, shuffle=False,
        callbacks=callbacks,
        validation_data=None if swap_on_epoch else (x, y), validation_batch_size=442,
    )  # fmt: skip
    # A plain average over steps with and without zeros would be dense.
    assert_lasso(kernel(model), tolerance=1e-4)
    if not swap_on_epoch:
        assert len(seen) == 6
        assert_lasso(seen[-1], tolerance=1e-4)


def test_weight_decay_adds_a_ridge_term_to_the_objective():
    """`w - rate * decay * w` of SGD is the gradient of `decay / 2 * w^2`."""
    x, y = diabetes()
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.05, weight_decay=0.3), "mse")
    train(model, x, y, 600)
    alpha = FACTOR / 2 + 0.3 / 2
    net = ElasticNet(alpha=alpha, l1_ratio=FACTOR / 2 / alpha, fit_intercept=False)
    np.testing.assert_allclose(kernel(model), reference(net), atol=1e-4)
    np.testing.assert_array_equal(kernel(model) == 0, reference(net) == 0)


def test_lora_factors_are_penalised_and_the_kernel_does_not_change():
    """With LoRA, Keras puts the regularizer of the kernel on the two factors of the adapter."""
    x, y = diabetes()
    model = linear(10, GroupLasso(0.03, axis=-1), units=6)
    layer = model.layers[0]
    layer.enable_lora(4)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = np.array(keras.ops.convert_to_numpy(layer._kernel))
    train(model, x, np.tile(y, 6), 600)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer._kernel), before)
    factor = np.array(keras.ops.convert_to_numpy(layer.lora_kernel_a))
    dead = np.all(factor == 0, axis=0)
    # The optimum has rank one: it needs one column.
    assert 0 < dead.sum() < 4
    assert (factor[:, ~dead] != 0).all()


@pytest.mark.parametrize("make", [
    lambda steps: keras.optimizers.Adam(0.02, gradient_accumulation_steps=steps),
    lambda steps: keras.optimizers.Adadelta(1.0, gradient_accumulation_steps=steps),
    lambda steps: keras.optimizers.Adafactor(0.05, gradient_accumulation_steps=steps),
    lambda steps: keras.optimizers.Lamb(0.02, gradient_accumulation_steps=steps),
    lambda steps: keras.optimizers.Lion(0.005, gradient_accumulation_steps=steps),
    lambda steps: keras.optimizers.RMSprop(0.002, momentum=0.9, gradient_accumulation_steps=steps),
], ids=["Adam", "Adadelta", "Adafactor", "Lamb", "Lion", "RMSprop"])  # fmt: skip
def test_gradient_accumulation_equals_the_large_batch(make):
    x, y = (part[:440] for part in diabetes())
    weights = []
    for steps in (None, 4):
        model = linear(10, L1(FACTOR))
        model.compile(make(steps), "mse")
        model.fit(
            x, y, batch_size=440 // (steps or 1), epochs=20, shuffle=False, verbose=0,
            callbacks=[ProximalGradient()],
        )  # fmt: skip
        weights.append(kernel(model))
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda: keras.optimizers.Adam(0.02),
    lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    lambda: keras.optimizers.Adadelta(1.0),
    lambda: keras.optimizers.Adafactor(0.05),
], ids=["Adam", "momentum", "Adadelta", "Adafactor"])  # fmt: skip
def test_a_step_with_overflowing_gradients_changes_no_weight_or_slot(make):
    x, y = diabetes()
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.LossScaleOptimizer(make(), initial_scale=2.0), "mse")
    train(model, x, y, 5)
    before = kernel(model)
    state = [
        np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.inner_optimizer.variables
    ]
    train(model, np.full_like(x, 1e30), y, 1)
    np.testing.assert_array_equal(kernel(model), before)
    for variable, value in zip(model.optimizer.inner_optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_all_options_together_reach_the_optimum():
    """Accumulation, averages, clipping, schedules of the rate and of the penalty, XLA."""
    x, y = (part[:440] for part in diabetes())
    rate = keras.optimizers.schedules.CosineDecay(0.05, 4000, warmup_target=0.1, warmup_steps=100)
    optimizer = keras.optimizers.SGD(
        rate, momentum=0.5, nesterov=True, gradient_accumulation_steps=2, global_clipnorm=1.0,
        use_ema=True, ema_momentum=0.9,
    )  # fmt: skip
    model = linear(10, L1(FACTOR))
    model.compile(optimizer, "mse", jit_compile=BACKEND != "torch")
    callbacks = [PenaltySchedule(ramp_steps=100), ProximalGradient()]
    train(model, x, y, 2000, callbacks)
    expected = lasso(x, y, FACTOR)
    np.testing.assert_array_equal(kernel(model) == 0, expected == 0)
    np.testing.assert_allclose(kernel(model), expected, atol=1e-4)
