"""Weights without any gradient so far move by at most a step of the optimizer, not to 0 at once."""

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from problems import compile_fast, train

import kerasreg
from kerasreg import regularizers as r
from kerasreg._proximal.step_sizes import within_reach
from kerasreg.callbacks import CoupledGroupLasso, ProximalGradient
from kerasreg.constraints import L2Ball

RATE = 1e-3
OPTIMIZERS = {
    "Adam": lambda: optimizers.Adam(RATE),
    "AMSGrad": lambda: optimizers.Adam(RATE, amsgrad=True),
    "AdamW": lambda: optimizers.AdamW(RATE, weight_decay=0.0),
    "Adamax": lambda: optimizers.Adamax(RATE),
    "Nadam": lambda: optimizers.Nadam(RATE),
    "Adagrad": lambda: optimizers.Adagrad(RATE, initial_accumulator_value=0.0),
    "Adadelta": lambda: optimizers.Adadelta(RATE),
    "Adafactor": lambda: optimizers.Adafactor(RATE),
    "Lamb": lambda: optimizers.Lamb(RATE),
    "Lion": lambda: optimizers.Lion(RATE),
    "RMSprop": lambda: optimizers.RMSprop(RATE),
    "RMSprop, momentum": lambda: optimizers.RMSprop(RATE, momentum=0.9),
    "RMSprop, centered": lambda: optimizers.RMSprop(RATE, centered=True),
    "accumulation": lambda: optimizers.Adam(RATE, gradient_accumulation_steps=2),
}
if hasattr(optimizers, "Muon"):
    OPTIMIZERS["Muon"] = lambda: optimizers.Muon(
        RATE, weight_decay=None, adam_weight_decay=None, exclude_layers=["dense"]
    )
if hasattr(optimizers, "MultiOptimizer"):
    OPTIMIZERS["MultiOptimizer"] = lambda: optimizers.MultiOptimizer(
        lambda variable: optimizers.Adam(RATE)
    )
#: Strong penalties: with a step size of `RATE / epsilon`, all weights would be zero at once.
PENALTIES = {
    "L1": r.L1(0.1), "L2": r.L2(0.1), "group": r.GroupLasso(0.1, axis=0), "MCP": r.MCP(0.1),
    "L0": r.L0(0.1), "SLOPE": r.SLOPE(0.1), "nuclear": r.NuclearNorm(0.1),
    "group L0": r.GroupL0(0.1, axis=0),
}  # fmt: skip
SHAPE = (6, 4)


def weights_and_gradients(steps, scale=1.0):
    """Returns weights, and gradients whose first four rows are zero."""
    rng = np.random.default_rng(0)
    weights = scale * rng.choice([-1, 1], SHAPE) * rng.uniform(0.2, 1, SHAPE)
    gradients = np.tile(rng.normal(size=SHAPE), (steps, 1, 1))
    gradients[:, :4] = 0
    return weights.astype("float32"), gradients.astype("float32")


def path(make, penalty, weights, gradients, **kwargs):
    """Returns the weights after each step. `penalty=None` trains without a prox."""
    layer = keras.layers.Dense(
        SHAPE[1], use_bias=False, kernel_regularizer=penalty, name="dense", **kwargs
    )
    model = keras.Sequential([keras.Input((SHAPE[0],)), layer])
    model.set_weights([weights])
    optimizer, found = make(), [weights]

    def go():
        for gradient in gradients:
            optimizer.apply([ops.convert_to_tensor(gradient)], model.trainable_variables)
            found.append(np.array(ops.convert_to_numpy(layer.kernel)))

    if penalty is None:
        optimizer.build(model.trainable_variables)
        go()
    else:
        with kerasreg.proximal(model, optimizer):
            go()
    return np.stack(found)


@pytest.mark.filterwarnings("ignore:Muon orthogonalizes")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_weight_moves_by_more_than_three_steps_of_the_optimizer(name):
    weights, gradients = weights_and_gradients(4)
    own = np.abs(np.diff(path(OPTIMIZERS[name], None, weights, gradients), axis=0)).max()
    for label in PENALTIES if name == "Adam" else ("L1", "L2", "group", "MCP"):
        found = path(OPTIMIZERS[name], PENALTIES[label], weights, gradients)
        assert np.abs(np.diff(found, axis=0)).max() <= 3 * own * (1 + 1e-3), label
        # The weights still shrink.
        assert np.abs(found[-1, :4]).sum() < np.abs(weights[:4]).sum(), label


@pytest.mark.parametrize("name", ["Adam", "Adafactor", "Lion"])
@pytest.mark.parametrize("label", ["L1", "group", "MCP", "L0", "group L0"])
def test_weights_without_a_gradient_reach_zero(name, label):
    """Also whole groups, and with a prox that jumps to zero."""
    # Adafactor's steps are relative to the weights, but at least `epsilon_2` times the rate.
    scale = {"Adafactor": RATE * 3e-3}.get(name, 3 * RATE)
    weights, gradients = weights_and_gradients(5, scale)
    found = path(OPTIMIZERS[name], PENALTIES[label], weights, gradients)
    assert not (found[1, :4] == 0).all()
    np.testing.assert_array_equal(found[-1, :4], np.zeros((4, 4)))


def test_lion_weighs_the_slope_of_the_penalty_against_the_mean_gradient():
    """The slope is added inside the sign, from the first step on; the learning rate is the limit.

    With noisy gradients, the mean of the steps `lr sign(...)` is far smaller than `lr`. A shrinkage
    of up to `lr` outside the sign would make the penalty too strong.
    """
    factor, rng = 0.1, np.random.default_rng(1)
    weights, _ = weights_and_gradients(1)
    gradients = rng.normal(size=(8, *SHAPE)).astype("float32")
    found = path(OPTIMIZERS["Lion"], r.L1(factor), weights, gradients)
    expected, momentum = weights.astype("float64"), np.zeros(SHAPE)
    for k, gradient in enumerate(gradients):
        mean = (0.9 * momentum + 0.1 * gradient) / (1 - 0.9 * 0.99**k)
        momentum = 0.99 * momentum + 0.01 * gradient
        move = 2 * (mean + factor * np.sign(expected)) / np.abs(mean)
        expected = expected - RATE * np.clip(move, -1, 1)
        np.testing.assert_allclose(found[k + 1], expected, atol=1e-2 * RATE)


def test_a_projection_is_not_limited():
    weights, gradients = weights_and_gradients(2)
    ball = L2Ball(0.3, axis=-1)
    found = path(OPTIMIZERS["Adam"], PENALTIES["L1"], weights, gradients, kernel_constraint=ball)
    assert (np.linalg.norm(found[1:], axis=2) <= 0.3 * (1 + 1e-5)).all()


def test_a_learning_rate_of_zero_changes_no_weight():
    weights, gradients = weights_and_gradients(2)
    found = path(lambda: optimizers.Adam(0.0), PENALTIES["L1"], weights, gradients)
    np.testing.assert_array_equal(found[-1], weights)


def test_within_reach_changes_only_moves_above_the_limit():
    old = np.array([0.1, 0.1, 0.7, -0.5, 0.3], "float32")
    new = np.array([0.1, 0.2, 0.7, -0.4, 0.3], "float32")
    proxed = np.array([0.0, 0.1, 0.123, 0.0, 0.29], "float32")
    tensors = map(ops.convert_to_tensor, (new, proxed, old - new))
    found = np.asarray(ops.convert_to_numpy(within_reach(*tensors, 0.1)))
    np.testing.assert_allclose(found, [0.0, 0.1, 0.6, -0.2, 0.29], rtol=1e-6)
    np.testing.assert_array_equal(found[[0, 1, 4]], proxed[[0, 1, 4]])
    half = ops.cast(ops.convert_to_tensor(proxed), "float16")
    assert keras.backend.standardize_dtype(within_reach(half, half, 0.0, 1e-3).dtype) == "float16"


def with_a_zero_head(penalty):
    """A model whose first two layers have no gradient while the kernel of the last one is zero."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(64, "relu", kernel_regularizer=penalty) for _ in range(2)]
    head = keras.layers.Dense(1, kernel_initializer="zeros")
    return keras.Sequential([keras.Input((8,)), *layers, head])


@pytest.mark.filterwarnings("ignore:These penalties can be evaded")
@pytest.mark.parametrize(
    ("make", "penalty"),
    [
        (lambda: optimizers.Adam(3e-3), keras.regularizers.L1(1e-3)),
        (lambda: optimizers.Lion(1e-3), keras.regularizers.L2(1e-3)),
    ],
    ids=["Adam, L1", "Lion, L2"],
)
def test_with_a_zero_head_the_objective_is_as_low_as_that_of_keras(make, penalty):
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.abs(x[:, :1]) - np.abs(x[:, 1:2])
    objectives = []
    for callbacks in ([], [ProximalGradient()]):
        model = with_a_zero_head(penalty)
        compile_fast(model, make(), "mse")
        train(model, x, y, 600, callbacks)
        objectives.append(model.evaluate(x, y, verbose=0))
    stock, ours = objectives
    assert ours <= 1.1 * stock
    assert stock < 0.5 * np.mean(y**2)


def test_embedding_rows_of_unused_tokens_shrink_by_the_learning_rate():
    embedding = keras.layers.Embedding(6, 3, embeddings_regularizer=keras.regularizers.L1(0.01))
    model = keras.Sequential([keras.Input((1,), dtype="int32"), embedding])
    model.compile(optimizers.Adam(RATE), "mse")
    before = np.array(ops.convert_to_numpy(embedding.embeddings))
    x, y = np.array([[0], [1]]), np.ones((2, 1, 3))
    model.fit(x, y, verbose=0, callbacks=[ProximalGradient()])
    after = np.array(ops.convert_to_numpy(embedding.embeddings))
    expected = np.sign(before[2:]) * np.maximum(np.abs(before[2:]) - RATE, 0)
    np.testing.assert_allclose(after[2:], expected, rtol=1e-5)
    # `polish` uses the step sizes of the optimizer, and their bounds.
    kerasreg.polish(model, x, y, epochs=1)
    polished = np.array(ops.convert_to_numpy(embedding.embeddings))
    expected = np.sign(after[2:]) * np.maximum(np.abs(after[2:]) - RATE, 0)
    np.testing.assert_allclose(polished[2:], expected, rtol=1e-5)


def test_all_weights_of_a_coupled_unit_become_zero_in_the_same_step():
    a, b = keras.layers.Dense(4, name="a"), keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((6,)), a, b])
    rng = np.random.default_rng(0)
    sizes = np.array([2.5, 4.5, 50, 60]) * RATE
    kernel = rng.choice([-1, 1], (6, 4)) * rng.uniform(0.3, 0.9, (6, 4))
    kernel[0] = 1
    start = (kernel * sizes).astype("float32")
    model.get_layer("a").set_weights([start, np.zeros(4)])
    model.compile(optimizers.Adam(RATE), "mse", run_eagerly=True)
    # With targets of 0, only the penalty moves the units.
    x, y = rng.normal(size=(8, 6)).astype("float32"), np.zeros((8, 1))
    lasso, last = CoupledGroupLasso(0.1), start
    for alive in ([1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]):
        model.fit(x, y, verbose=0, callbacks=[lasso])
        now = np.array(ops.convert_to_numpy(a.kernel))
        assert np.abs(now - last).max() <= RATE * (1 + 1e-3)
        np.testing.assert_array_equal(now != 0, np.tile(np.array(alive) == 1, (6, 1)))
        last = now


def test_a_registered_bound_limits_the_step_of_a_user_optimizer():
    class Normalised(optimizers.Optimizer):
        """Gradient descent that divides each gradient by its size."""

        def update_step(self, gradient, variable, learning_rate):
            self.size = ops.abs(gradient) + 1e-7
            self.assign_sub(variable, learning_rate * gradient / self.size)

    def size(optimizer, index, learning_rate):
        return learning_rate / optimizer.size

    def rate(optimizer, index, learning_rate):
        return learning_rate

    weights, gradients = weights_and_gradients(1)
    kerasreg.register_step_size(Normalised)(size)
    found = path(lambda: Normalised(RATE), PENALTIES["L1"], weights, gradients)
    assert (found[1, :4] == 0).all()
    kerasreg.register_step_size(Normalised, bound=rate)(size)
    found = path(lambda: Normalised(RATE), PENALTIES["L1"], weights, gradients)
    np.testing.assert_allclose(np.abs(found[1, :4] - weights[:4]), RATE, rtol=1e-3)
