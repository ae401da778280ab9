"""Penalties without a proximal operator: their effect, accuracy and errors."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from problems import diabetes
from tensors import DTYPES, array, gradient, tensor

import kerasreg
from kerasreg.callbacks import ProximalGradient
from kerasreg.regularizers import (
    L1,
    ActivityEntropy,
    ActivityKL,
    ConvOrthogonal,
    GroupHoyerSquare,
    HoyerSquare,
    Orthogonal,
    Regularizer,
    SpectralNorm,
)
from kerasreg.regularizers.keras_own import with_prox

ALL = [
    Orthogonal(0.1),
    ConvOrthogonal(0.1),
    HoyerSquare(0.1),
    GroupHoyerSquare(0.1),
    SpectralNorm(0.1),
    ActivityEntropy(0.1),
    ActivityKL(0.1),
]
every_penalty = pytest.mark.parametrize("penalty", ALL, ids=lambda each: type(each).__name__)


def descended(penalty, weights, rate, steps=300):
    """Returns the weights after gradient descent on the penalty alone."""
    for _ in range(steps):
        weights = weights - rate * gradient(penalty, tensor(weights))
    return weights


@every_penalty
def test_smooth_penalties_have_no_prox(penalty):
    assert not hasattr(penalty, "prox")
    assert not isinstance(penalty, Regularizer)
    assert with_prox(penalty) is None
    documentation = " ".join(type(penalty).__doc__.split())
    assert "It has no proximal operator: `ProximalGradient` leaves it" in documentation


def test_proximal_training_keeps_the_gradient_of_smooth_penalties():
    x, y = diabetes()
    models = []
    for callbacks in ([], [ProximalGradient()]):
        keras.utils.set_random_seed(0)
        first = layers.Dense(6, kernel_regularizer=Orthogonal(0.1))
        last = layers.Dense(1, kernel_regularizer=L1(0.0))
        model = keras.Sequential([keras.Input((10,)), first, last])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        model.fit(x, y, batch_size=442, epochs=20, verbose=0, callbacks=callbacks)
        models.append(model)
    plain, proximal = (array(model.layers[0].kernel) for model in models)
    np.testing.assert_allclose(plain, proximal, atol=1e-6)


def test_a_model_with_smooth_penalties_only_raises():
    model = keras.Sequential([keras.Input((10,)), layers.Dense(1, kernel_regularizer=ALL[0])])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"without a proximal operator on .*kernel"):
        model.fit(*diabetes(), verbose=0, callbacks=[ProximalGradient()])


def test_attach_translates_axis_names_and_detach_removes_all(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv", activity_regularizer=ActivityEntropy(0.1))(inputs)
    x = layers.Reshape((36, 4))(x)
    x = layers.LSTM(3, name="lstm")(x)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(x))
    rules = {
        "conv/kernel": Orthogonal(0.1, axis="input"),
        "lstm.*/kernel": SpectralNorm(0.1, axis="output"),
        "dense/kernel": GroupHoyerSquare(0.1, axis="output"),
        "dense/bias": HoyerSquare(0.1),
    }
    attached = [repr(penalty) for penalty in kerasreg.attach(model, rules).values()]
    assert attached == [
        "Orthogonal(factor=0.1, axis=-2, gates=1, unit_norm=True)",
        "SpectralNorm(factor=0.1, axis=-1, gates=4, power=2, power_iterations=30)",
        "GroupHoyerSquare(factor=0.1, axis=-1, gates=1)",
        "HoyerSquare(factor=0.1)",
    ]
    assert kerasreg.statistics(model)["conv/kernel"].penalty > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [repr(v.regularizer) for v in loaded.weights] == [
        repr(v.regularizer) for v in model.weights
    ]
    assert repr(loaded.get_layer("conv").activity_regularizer) == repr(ActivityEntropy(0.1))
    assert len(kerasreg.detach(loaded)) == 4
    assert not loaded.losses
    assert loaded.get_layer("conv").activity_regularizer is None


def test_an_axis_name_without_attach_raises():
    with pytest.raises(ValueError, match=r"only `kerasreg.attach` can translate"):
        Orthogonal(axis="output")(np.ones((2, 2), "float32"))


@pytest.mark.parametrize("shape", [(8, 3), (3, 8), (2, 2, 3, 5), (2, 2, 2, 30)])
def test_descent_makes_columns_or_rows_orthonormal(shape):
    weights = descended(Orthogonal(1.0), np.random.default_rng(0).normal(size=shape) / 3, 0.05)
    matrix = weights.reshape(-1, shape[-1])
    values = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(values, 1, atol=1e-4)


def test_descent_without_unit_norm_makes_columns_orthogonal_and_keeps_lengths():
    weights = np.random.default_rng(0).normal(size=(8, 3))
    before = np.linalg.norm(weights, axis=0)
    weights = descended(Orthogonal(1.0, unit_norm=False), weights, 0.01)
    gram = weights.T @ weights
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-4)
    assert (np.linalg.norm(weights, axis=0) > 0.3 * before).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_descent_makes_a_norm_preserving_convolution(stride):
    """With orthogonal rows, the transposed convolution preserves the norm of its input."""
    rng = np.random.default_rng(0)
    kernel = descended(ConvOrthogonal(1.0, strides=stride), rng.normal(size=(3, 3, 4, 3)) / 6, 0.05)
    signal = tensor(rng.normal(size=(1, 6, 6, 3)))
    # The kernel of a transposed convolution is (*window, output, input): the same array.
    spread = array(ops.conv_transpose(
        signal, tensor(kernel), stride, "valid", data_format="channels_last"
    ))  # fmt: skip
    assert np.linalg.norm(spread) == pytest.approx(np.linalg.norm(array(signal)), rel=1e-3)


def test_conv_orthogonal_of_a_1x1_kernel_is_orthogonal():
    kernel = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        array(ConvOrthogonal(0.1)(tensor(kernel[None, None]))),
        array(Orthogonal(0.1)(tensor(kernel))),
        rtol=1e-5,
    )


@pytest.mark.parametrize("shape", [(3,), (3, 3), (3, 3, 3, 3, 3)])
def test_conv_orthogonal_is_for_convolutions_in_one_and_two_dimensions(shape):
    with pytest.raises(ValueError, match=r"Conv1D and Conv2D.*Received: weights of shape"):
        ConvOrthogonal()(np.ones(shape, "float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("penalty", [HoyerSquare(1.0), GroupHoyerSquare(1.0), SpectralNorm(1.0)])
@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_very_small_and_very_large_weights(penalty, size, dtype):
    if dtype == "float16":
        size = 1e4 if size > 1 else 1e-4
    weights = tensor(size * np.ones((3, 4)), dtype)
    slope = gradient(penalty, weights)
    assert np.isfinite(slope).all()
    if not isinstance(penalty, SpectralNorm):
        expected = 12 if isinstance(penalty, HoyerSquare) else 4
        assert array(penalty(weights)) == pytest.approx(expected, rel=1e-5)


def test_hoyer_square_is_scale_invariant_with_a_gradient_orthogonal_to_the_weights():
    weights = np.random.default_rng(0).normal(size=(4, 5))
    for penalty in (HoyerSquare(0.1), GroupHoyerSquare(0.1)):
        value = array(penalty(tensor(weights)))
        assert array(penalty(tensor(100 * weights))) == pytest.approx(value, rel=1e-5)
        slope = gradient(penalty, tensor(weights))
        assert np.sum(slope * weights) == pytest.approx(0, abs=1e-5 * np.abs(slope).max())


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (200, 50)])
def test_the_stated_accuracy_of_the_spectral_norm(rows, columns):
    short = []
    for seed in range(20):
        matrix = np.random.default_rng(seed + 1).normal(size=(rows, columns))
        sigma = array(SpectralNorm(1.0, power=1)(tensor(matrix)))
        short.append(1 - sigma / np.linalg.norm(matrix, 2))
    assert min(short) > -1e-6
    assert max(short) < 0.05
    assert np.mean(short) < 0.015


def test_more_iterations_are_more_accurate_at_the_stated_rate():
    left, _, right = np.linalg.svd(np.random.default_rng(1).normal(size=(6, 6)))
    matrix = tensor(left @ np.diag([1.0, 0.9, 0.5, 0.3, 0.2, 0.1]) @ right)
    few, more = (1 - array(SpectralNorm(1.0, power=1, power_iterations=n)(matrix)) for n in (5, 15))
    assert more / few == pytest.approx(0.9**40, rel=0.2)


def test_the_spectral_norm_of_block_and_symmetric_kernels():
    """A start of ones, or a column of the kernel, would miss the largest singular value."""
    blocks = np.zeros((5, 5))
    blocks[0, 0], blocks[1:, 1:] = 2.0, 0.75
    symmetric = np.array([[1.0, -1.0], [-1.0, 1.0]])
    for matrix, sigma in ((blocks, 3.0), (symmetric, 2.0)):
        assert array(SpectralNorm(1.0, power=1)(tensor(matrix))) == pytest.approx(sigma, rel=1e-5)


def test_the_gradient_of_the_spectral_norm_is_of_rank_one():
    matrix = np.random.default_rng(0).normal(size=(6, 4))
    slope = gradient(SpectralNorm(1.0, power=1, power_iterations=200), tensor(matrix))
    left, _, right = np.linalg.svd(matrix)
    np.testing.assert_allclose(slope, np.outer(left[:, 0], right[0]), atol=1e-4)


@pytest.mark.parametrize("count", [0, -1, 1.0, True, None, "1"])
@pytest.mark.parametrize(
    ("penalty", "name"), [(ConvOrthogonal, "strides"), (SpectralNorm, "power")]
)
def test_invalid_counts_raise(penalty, name, count):
    with pytest.raises(
        ValueError, match=rf"`{name}` must be an int of at least 1.*Received: {name}="
    ):
        penalty(**{name: count})


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match=r"`power` must be .*at most 2. Received: power=3"):
        SpectralNorm(power=3)
    with pytest.raises(ValueError, match=r"`axis` chooses between rows and columns.*'rows'"):
        Orthogonal(unit_norm="rows")
    with pytest.raises(ValueError, match=r"`factor` must be a finite number"):
        HoyerSquare(-1.0)
