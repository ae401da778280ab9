"""SNIP against the gradients of linear models, and what it leaves as it was."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg import regularizers, scores

rng = np.random.default_rng(0)
X = rng.normal(size=(16, 6)).astype("float32")
Y = rng.normal(size=(16, 3)).astype("float32")


def linear(regularizer=None, **kwargs):
    layer = layers.Dense(3, use_bias=False, kernel_regularizer=regularizer, name="a", **kwargs)
    model = keras.Sequential([keras.Input((6,)), layer], name="net")
    model.compile("sgd", "mse")
    return model


def array(variable):
    return keras.ops.convert_to_numpy(variable)


def gradient(kernel, penalty=0.0):
    return 2 / Y.size * X.T @ (X @ kernel - Y) + 2 * penalty * kernel


class Remember(scores.SNIP):
    """Its scores, kept to look at."""

    def __call__(self, variable, weights, record=None):
        self.found = super().__call__(variable, weights, record)
        return self.found


def snip(model, x=X, y=Y, **kwargs):
    score = Remember(x, y, **kwargs)
    kerasreg.prune(model, 0.5, include="(^|/)a/(kernel|embeddings)", score=score)
    return score.found


@pytest.mark.parametrize("penalty", [0.0, 0.05])
@pytest.mark.parametrize("batch_size", [128, 5])
def test_snip_is_the_analytic_gradient(penalty, batch_size):
    model = linear(regularizers.L2(penalty) if penalty else None)
    kernel = array(model.layers[0].kernel).copy()
    expected = np.abs(kernel * gradient(kernel, penalty))
    np.testing.assert_allclose(snip(model, batch_size=batch_size), expected, rtol=1e-4, atol=1e-6)


def test_snip_is_zero_for_variables_that_the_loss_does_not_depend_on():
    inputs = keras.Input((6,))
    unused, x = layers.Dense(3, name="a")(inputs), layers.Dense(3, name="b")(inputs)
    model = keras.Model(inputs, [x, unused])
    model.compile("sgd", ["mse", None])
    np.testing.assert_array_equal(snip(model, y=[Y, Y]), np.zeros((6, 3)))


def test_snip_supports_embeddings():
    stack = [layers.Embedding(5, 3, name="a"), layers.Flatten()]
    model = keras.Sequential([keras.Input((1,)), *stack])
    model.compile("sgd", "mse")
    (kernel,), indices = model.get_weights(), np.arange(16)[:, None] % 4
    residual = np.zeros((5, 3))
    np.add.at(residual, indices[:, 0], 2 / Y.size * (kernel[indices[:, 0]] - Y))
    expected = np.abs(kernel * residual)
    np.testing.assert_allclose(snip(model, indices), expected, rtol=1e-4, atol=1e-6)


def test_snip_does_not_change_averages_seeds_metrics_and_the_optimizer():
    inputs = keras.Input((6,))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(3, name="a")(inputs)))
    model = keras.Model(inputs, [x, layers.Dense(3)(x)])
    model.compile("adam", ["mse", "mse"], metrics=[["mae"], ["mae"]])
    model.fit(X, [Y, Y], verbose=0)

    def state():
        return [np.array(array(v)) for v in model.variables + model.metrics_variables][1:]

    before = state(), [np.array(array(v)) for v in model.optimizer.variables]
    # Except for the kernel that is pruned.
    assert model.variables[0].path.endswith("a/kernel")
    assert (snip(model, y=[Y, Y], batch_size=4) > 0).all()
    after = state(), [np.array(array(v)) for v in model.optimizer.variables]
    for own, others in zip(before, after, strict=True):
        for one, other in zip(own, others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [1e-7, 1.0, 1e3])
def test_in_half_precision_gradients_neither_vanish_nor_overflow(weight):
    model = linear(dtype="mixed_float16")
    model.compile("sgd", "mse", loss_weights=[weight])
    kernel = array(model.layers[0].kernel).copy()
    expected = weight * np.abs(kernel * gradient(kernel))
    np.testing.assert_allclose(snip(model), expected, rtol=0.02, atol=0.002 * expected.max())


def test_snip_without_a_loss_raises():
    with pytest.raises(ValueError, match="needs a compiled model"):
        kerasreg.prune(
            keras.Sequential([keras.Input((6,)), layers.Dense(3)]), 0.5, score=scores.SNIP(X, Y)
        )
