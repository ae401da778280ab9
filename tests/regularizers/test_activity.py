"""Activity penalties: values, gradients, training, saving."""

import keras
import numpy as np
import pytest
from keras import layers
from tensors import array, gradient, tensor

from kerasreg.regularizers import ActivityEntropy, ActivityKL

KERAS_DIVIDES = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 14)
divided = pytest.mark.skipif(not KERAS_DIVIDES, reason="Keras did not divide by the batch size")


def loss_of(layer, x):
    layer(x)
    (loss,) = layer.losses
    return float(array(loss))


def entropy(shares):
    return -np.sum(shares * np.log(shares), axis=-1)


def kl(rho, mean):
    return rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))


@divided
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_the_loss_of_a_layer_is_the_mean_entropy(batch, shape):
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")
    for activation, from_logits in (("softmax", False), ("linear", True)):
        penalty = ActivityEntropy(0.3, from_logits)
        layer = layers.Activation(activation, activity_regularizer=penalty)
        shares = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        assert loss_of(layer, x) == pytest.approx(0.3 * entropy(shares).mean(), rel=1e-5)


@divided
@pytest.mark.parametrize("batch", [2, 7])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_the_loss_of_a_layer_is_the_divergence_of_the_mean(batch, shape):
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")
    layer = layers.Activation("sigmoid", activity_regularizer=ActivityKL(0.3, rho=0.1))
    mean = (1 / (1 + np.exp(-x))).reshape(-1, 5).mean(axis=0)
    assert loss_of(layer, x) == pytest.approx(0.3 * kl(0.1, mean).sum(), rel=1e-5)


def test_a_direct_call_returns_the_loss_times_the_batch_size():
    x = np.random.default_rng(0).uniform(0.1, 0.9, (6, 4))
    value = array(ActivityKL(0.3)(tensor(x)))
    assert value == pytest.approx(6 * 0.3 * kl(0.05, x.mean(axis=0)).sum(), rel=1e-5)
    value = array(ActivityEntropy(0.3)(tensor(x)))
    shares = x / x.sum(axis=1, keepdims=True)
    assert value == pytest.approx(0.3 * entropy(shares).sum(), rel=1e-5)


def test_entropy_does_not_depend_on_scale_or_sign():
    x = np.random.default_rng(0).normal(size=(6, 4))
    expected = array(ActivityEntropy()(tensor(x)))
    for factor in (-1, 1e-20, 1e20):
        assert array(ActivityEntropy()(tensor(factor * x))) == pytest.approx(expected, rel=1e-5)


def test_inactive_features_get_no_gradient_and_others_a_finite_one():
    x = tensor([[0.0, 0.0, 0.0], [1e-30, 1.0, 0.0], [2.0, 2.0, 0.0]])
    slope = gradient(ActivityEntropy(1.0), x)
    assert np.isfinite(slope).all()
    assert (slope[0] == 0).all()
    assert (slope[:, 2] == 0).all()
    # The small activation must become smaller, the large one must not.
    assert slope[1, 0] > 0
    assert slope[1, 1] <= 0


def test_divergence_of_activations_at_0_and_1():
    x = tensor([[0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    slope = gradient(ActivityKL(1.0, rho=0.05), x)
    assert np.isfinite(array(ActivityKL(1.0)(x)))
    assert (slope[:, :2] == 0).all()
    assert (slope[:, 2] > 0).all()
    assert array(ActivityKL(1.0, rho=0.5)(tensor(np.full((4, 3), 0.5)))) == 0


@pytest.mark.parametrize("penalty", [ActivityEntropy(1.0), ActivityKL(1.0, rho=0.1)])
def test_training_makes_activations_sparse(penalty):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    hidden = layers.Dense(6, "sigmoid", activity_regularizer=penalty)
    model = keras.Sequential([keras.Input((8,)), hidden, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    before = array(penalty(hidden(x)))
    model.fit(x, x[:, :1], batch_size=64, epochs=60, verbose=0)
    assert array(penalty(hidden(x))) < 0.7 * before


def test_activity_penalties_survive_saving(tmp_path):
    penalties = [ActivityEntropy(0.1, from_logits=True), ActivityKL(0.1, rho=0.2)]
    stack = [layers.Dense(3, activity_regularizer=each) for each in penalties]
    keras.Sequential([keras.Input((4,)), *stack]).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [repr(layer.activity_regularizer) for layer in loaded.layers] == [
        "ActivityEntropy(factor=0.1, from_logits=True)",
        "ActivityKL(factor=0.1, rho=0.2)",
    ]


def test_invalid_arguments_raise():
    for rho in (0.0, 1.0):
        with pytest.raises(
            ValueError,
            match=rf"`rho` must be .*above 0 and below 1. Received: rho={rho}",
        ):
            ActivityKL(rho=rho)
    with pytest.raises(ValueError, match=r"`from_logits` must be True or False"):
        ActivityEntropy(from_logits=1)
    for penalty in (ActivityEntropy(), ActivityKL()):
        with pytest.raises(
            ValueError, match=r"\(batch, ..., features\). Received: .* shape \(3,\)"
        ):
            penalty(np.ones(3, "float32"))
