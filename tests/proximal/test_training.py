"""In every training mode, zeros are exact and the optimum is that of the objective as written."""

import functools

import keras
import numpy as np
import pytest
from problems import batches, diabetes, kernel, lasso, linear, train

import kerasreg
from kerasreg.callbacks import ProximalGradient
from kerasreg.regularizers import L1, GroupLasso

FACTOR = 0.2
BACKEND = keras.backend.backend()
only_on = {
    backend: pytest.mark.skipif(backend != BACKEND, reason=f"runs on {backend} only")
    for backend in ("tensorflow", "jax", "torch")
}


@functools.cache
def optimum(**kwargs):
    return lasso(*diabetes(), FACTOR, **kwargs)


def objective(w):
    x, y = diabetes()
    return np.mean((y - x.astype("float64") @ w) ** 2) + FACTOR * np.abs(w).sum()


def assert_lasso(model, tolerance=1e-5):
    w = kernel(model).astype("float64")
    assert np.array_equal(w != 0, optimum() != 0)
    assert objective(w) - objective(optimum()) <= tolerance * objective(optimum())


COMPILE = {
    "eager": {"run_eagerly": True},
    "compiled": {"jit_compile": False} if BACKEND == "tensorflow" else {},
    "XLA": {"jit_compile": True},
    "several steps per execution": {"steps_per_execution": 7, "jit_compile": False},
    "several steps per execution, XLA": {"steps_per_execution": 7, "jit_compile": True},
}
if BACKEND == "torch":
    COMPILE = {"eager": {"run_eagerly": True}}


@pytest.mark.parametrize("kwargs", COMPILE.values(), ids=COMPILE)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_compile_mode_reaches_the_optimum(kwargs, momentum):
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.05 * (1 - momentum), momentum=momentum), "mse", **kwargs)
    train(model, *diabetes(), steps=399)
    assert_lasso(model)


def test_the_l1_of_keras_makes_zeros_only_with_proximal_gradient():
    x, y = diabetes()
    models = [linear(10, "l1"), linear(10, "l1")]
    for model, callbacks in zip(models, [[], [ProximalGradient()]], strict=True):
        model.layers[0].kernel.regularizer = model.layers[0].kernel_regularizer
        model.compile(keras.optimizers.Adam(0.01), "mse")
        train(model, x, y, 300, callbacks)
    assert np.all(kernel(models[0]) != 0)
    small = linear(10, keras.regularizers.L1(FACTOR))
    small.compile(keras.optimizers.Adam(0.01), "mse")
    train(small, x, y, 1500)
    assert_lasso(small)


def test_the_reported_loss_contains_the_penalty():
    x, y = diabetes()
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = train(model, x, y, 1)
    assert history.history["loss"][0] == pytest.approx(objective(kernel(model)), rel=1e-5)


def test_the_penalty_counts_once():
    """If the penalty had a gradient besides its prox, it would count twice."""
    model = linear(10, GroupLasso(FACTOR, axis=(0, 1)))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    train(model, *diabetes(), steps=400)
    assert_lasso(model)


@pytest.mark.parametrize("steps", [2, 5])
def test_gradient_accumulation_shrinks_once_per_update(steps):
    model = linear(10, L1(FACTOR))
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=steps)
    model.compile(optimizer, "mse")
    train(model, *diabetes(), steps=800 * steps)
    assert_lasso(model)


def test_gradient_accumulation_equals_the_large_batch():
    x, y = (part[:440] for part in diabetes())
    weights = []
    for steps in (1, 4):
        keras.utils.set_random_seed(0)
        model = linear(10, L1(FACTOR))
        optimizer = keras.optimizers.SGD(
            0.01, momentum=0.9, gradient_accumulation_steps=steps if steps > 1 else None
        )
        model.compile(optimizer, "mse")
        model.fit(
            x, y, batch_size=440 // steps, epochs=20, shuffle=False, verbose=0,
            callbacks=[ProximalGradient()],
        )  # fmt: skip
        weights.append(kernel(model))
    np.testing.assert_allclose(weights[0], weights[1], atol=2e-6)


@pytest.mark.parametrize("overwrite", [None, 10])
def test_averaged_weights_have_the_zeros_of_the_raw_ones(overwrite):
    model = linear(10, L1(FACTOR))
    optimizer = keras.optimizers.SGD(
        0.05, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=overwrite
    )
    model.compile(optimizer, "mse")
    train(model, *diabetes(), steps=1500)
    assert_lasso(model, tolerance=1e-4)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipped_gradients_reach_the_optimum(clip):
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.05, **{clip: 0.5}), "mse")
    train(model, *diabetes(), steps=500)
    assert_lasso(model)


def test_mixed_float16_reaches_the_optimum():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = linear(10, L1(FACTOR))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        train(model, *diabetes(), steps=1500)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert np.array_equal(kernel(model) != 0, optimum() != 0)
    # Gradients in float16 have three significant digits.
    assert objective(kernel(model)) <= objective(optimum()) * (1 + 1e-3)


def test_a_step_with_overflowing_gradients_changes_no_weight():
    model = linear(10, L1(FACTOR))
    inner = keras.optimizers.SGD(0.05)
    model.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0), "mse")
    x, y = diabetes()
    train(model, x, y, 5)
    before = kernel(model)
    train(model, np.full_like(x, 1e30), y, 1)
    np.testing.assert_array_equal(kernel(model), before)


def test_a_constraint_of_keras_holds_besides_the_penalty():
    model = linear(10, L1(FACTOR), kernel_constraint=keras.constraints.NonNeg())
    model.compile(keras.optimizers.SGD(0.05), "mse")
    train(model, *diabetes(), steps=500)
    reference = optimum(positive=True)
    w = kernel(model).astype("float64")
    assert np.array_equal(w != 0, reference != 0)
    assert objective(w) - objective(reference) <= 1e-5 * objective(reference)


def test_a_callback_can_change_the_learning_rate():
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (1 + epoch % 3))
    callbacks = [schedule, ProximalGradient()]
    train(model, *diabetes(), steps=100, epochs=6, callbacks=callbacks)
    assert_lasso(model)


def test_other_regularizers_keep_their_gradient():
    class TowardsThree(keras.regularizers.Regularizer):
        def __call__(self, weights):
            return keras.ops.sum((weights - 3.0) ** 2)

    x, y = diabetes()
    inputs = keras.Input((10,))
    outputs = keras.layers.Dense(1, kernel_regularizer=L1(0.0), bias_regularizer=TowardsThree())(
        inputs
    )
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    train(model, x, y, 400)
    # For centred y, the minimum of mean (y - b)^2 + (b - 3)^2 is at 1.5.
    assert np.asarray(model.layers[1].bias) == pytest.approx(1.5, abs=1e-3)


def test_embedding_rows_of_unused_tokens_become_zero():
    """They are shrunk although they get no gradient."""
    embedding = keras.layers.Embedding(50, 4, embeddings_regularizer=L1(0.01))
    model = keras.Sequential(
        [keras.Input((1,), dtype="int32"), embedding, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    # The Dense layer can compensate for smaller embeddings.
    with pytest.warns(UserWarning, match=r"evaded.*embeddings \(by dense\)"):
        train(model, np.array([[1], [2]]), np.ones((2, 1), "float32"), 200)
    table = np.asarray(keras.ops.convert_to_numpy(embedding.embeddings))
    assert np.all(table[3:] == 0)
    assert np.any(table[1:3] != 0)


def test_frozen_layers_do_not_change():
    first = keras.layers.Dense(10, kernel_regularizer=L1(10.0))
    second = keras.layers.Dense(1, kernel_regularizer=L1(10.0))
    model = keras.Sequential([keras.Input((10,)), first, second])
    first.trainable = False
    model.compile(keras.optimizers.SGD(0.05), "mse")
    before = first.get_weights()[0]
    with pytest.warns(UserWarning, match=r"every weight is zero in sequential/dense_1/kernel:"):
        train(model, *diabetes(), steps=50)
    np.testing.assert_array_equal(first.get_weights()[0], before)
    assert np.all(second.get_weights()[0] == 0)


def test_a_shared_layer_is_shrunk_once_per_step():
    a, b = keras.Input((10,)), keras.Input((10,))
    layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer=L1(FACTOR))
    outputs = keras.layers.Average()([layer(a), layer(b)])
    model = keras.Model([a, b], outputs)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x, y = diabetes()
    model.fit([x, x], y, batch_size=len(x), epochs=300, verbose=0, callbacks=[ProximalGradient()])
    assert_lasso(model)


def test_a_model_that_overrides_train_step_reaches_the_optimum():
    calls = []

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False, kernel_regularizer=L1(FACTOR))

        def call(self, x):
            return self.dense(x)

        def train_step(self, *args):
            calls.append(1)
            return super().train_step(*args)

    model = Net()
    x, y = diabetes()
    model(x)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    train(model, x, y, 400)
    assert calls
    assert_lasso(model)


def test_the_prox_is_not_traced_again_for_each_batch():
    traces = []

    class Counting(L1):
        def _prox(self, weights, step):
            traces.append(1)
            return super()._prox(weights, step)

    x, y = diabetes()
    model = linear(10, Counting(FACTOR))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=26, epochs=3, verbose=0, callbacks=[ProximalGradient()])
    if BACKEND != "torch":
        # TensorFlow traces a function that creates variables twice, JAX once.
        assert len(traces) <= 2


@only_on["tensorflow"]
def test_a_custom_loop_on_tensorflow_reaches_the_optimum():
    import tensorflow as tf

    x, y = diabetes()
    model = linear(10, keras.regularizers.L1(FACTOR))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((y - model(x)) ** 2) + sum(model.losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    with kerasreg.proximal(model, optimizer):
        for _ in range(400):
            step()
    assert_lasso(model)


@only_on["tensorflow"]
def test_a_step_that_was_traced_before_proximal_is_an_error():
    import tensorflow as tf

    x, y = diabetes()
    model = linear(10, L1(FACTOR))
    optimizer = keras.optimizers.SGD(0.05)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((y - model(x)) ** 2)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    step()
    with (
        pytest.raises(RuntimeError, match="none had a proximal step"),
        kerasreg.proximal(model, optimizer),
    ):
        step()


@only_on["jax"]
def test_a_custom_loop_on_jax_reaches_the_optimum():
    import jax

    x, y = diabetes()
    model = linear(10, keras.regularizers.L1(FACTOR))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def loss(trainable, rest):
        prediction, _, losses = model.stateless_call(trainable, rest, x, return_losses=True)
        return ((y - prediction) ** 2).mean() + sum(losses)

    @jax.jit
    def step(trainable, rest, state):
        gradients = jax.grad(loss)(trainable, rest)
        return optimizer.stateless_apply(state, gradients, trainable)

    with kerasreg.proximal(model, optimizer):
        trainable = [v.value for v in model.trainable_variables]
        rest = [v.value for v in model.non_trainable_variables]
        state = [v.value for v in optimizer.variables]
        for _ in range(400):
            trainable, state = step(trainable, rest, state)
        for variable, value in zip(model.trainable_variables, trainable, strict=True):
            variable.assign(value)
        for variable, value in zip(optimizer.variables, state, strict=True):
            variable.assign(value)
    assert_lasso(model)


@only_on["torch"]
def test_a_custom_loop_on_torch_reaches_the_optimum():
    import torch

    x, y = (torch.from_numpy(part) for part in diabetes())
    model = linear(10, keras.regularizers.L1(FACTOR))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    with kerasreg.proximal(model, optimizer):
        for _ in range(400):
            model.zero_grad()
            loss = ((y - model(x)) ** 2).mean() + sum(model.losses)
            loss.backward()
            variables = model.trainable_weights
            with torch.no_grad():
                optimizer.apply([v.value.grad for v in variables], variables)
    assert_lasso(model)


def test_proximal_restores_model_and_optimizer_after_an_exception():
    model = linear(10, L1(FACTOR))
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    optimizer.build(model.trainable_variables)
    regularizer = model.weights[0].regularizer
    names, count = set(vars(optimizer)), len(optimizer.variables)

    def failing_loop():
        with kerasreg.proximal(model, optimizer):
            assert model.weights[0].regularizer is not regularizer
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing_loop()
    assert model.weights[0].regularizer is regularizer
    assert set(vars(optimizer)) == names
    assert len(optimizer.variables) == count


def test_proximal_works_around_fit():
    model = linear(10, L1(FACTOR))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x, y = diabetes()
    model.fit(x, y, verbose=0)
    with kerasreg.proximal(model, model.optimizer):
        model.fit(batches(x, y), steps_per_epoch=400, verbose=0, shuffle=False)
    assert_lasso(model)
