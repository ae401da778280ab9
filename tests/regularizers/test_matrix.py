"""NuclearNorm and Rank: the rank after the prox, other shapes, non-finite weights."""

import keras
import numpy as np
import pytest
from tensors import array, gradient, tensor

import kerasreg
from kerasreg.regularizers import FusedLasso, NuclearNorm, Rank, TotalVariation


def low_rank(shape, rank, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))


@pytest.mark.parametrize("penalty", [NuclearNorm, Rank])
def test_the_prox_removes_noise_and_keeps_the_rank(penalty):
    kernel = low_rank((30, 20), 3) + 1e-3 * np.random.default_rng(1).normal(size=(30, 20))
    x = array(penalty(1.0).prox(tensor(kernel), 0.1))
    values = np.linalg.svd(x, compute_uv=False)
    assert values[2] > 1
    assert values[3] < 1e-5 * values[0]
    assert array(Rank(1.0)(tensor(x))) == 3


def test_value_and_gradient_of_a_kernel_of_low_rank():
    """The gradient is `U V^T`, where that of a decomposition would not be finite."""
    for rank in (1, 2):
        kernel = low_rank((6, 4), rank)
        left, values, right = np.linalg.svd(kernel)
        slope = gradient(NuclearNorm(0.5), tensor(kernel))
        np.testing.assert_allclose(slope, 0.5 * left[:, :rank] @ right[:rank], atol=1e-5)
        np.testing.assert_allclose(
            array(NuclearNorm(0.5)(tensor(kernel))), 0.5 * values.sum(), 1e-5
        )
    # Equal singular values.
    np.testing.assert_allclose(gradient(NuclearNorm(1.0), tensor(np.eye(4))), np.eye(4), atol=1e-5)


def test_the_matrix_has_one_column_per_index_of_the_axis():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 5))
    flat = NuclearNorm(0.3).prox(tensor(kernel.reshape(18, 5)), 1.0)
    whole = NuclearNorm(0.3, axis=-1).prox(tensor(kernel), 1.0)
    np.testing.assert_allclose(array(whole).reshape(18, 5), array(flat), atol=1e-5)
    several = NuclearNorm(0.3, axis=(2, 3)).prox(tensor(kernel), 1.0)
    flat = NuclearNorm(0.3).prox(tensor(kernel.reshape(9, 10)), 1.0)
    np.testing.assert_allclose(array(several).reshape(9, 10), array(flat), atol=1e-5)


@pytest.mark.parametrize("penalty", [NuclearNorm, Rank])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_non_finite(penalty, bad):
    kernel = np.ones((30, 20))
    kernel[1, 2] = bad
    assert not np.isfinite(array(penalty(0.5)(tensor(kernel))))
    assert not np.isfinite(array(penalty(0.5).prox(tensor(kernel), 1.0)))[1, 2]


def test_rank_has_a_zero_gradient():
    np.testing.assert_array_equal(gradient(Rank(0.5), tensor(low_rank((5, 4), 2))), 0)


@pytest.mark.parametrize("penalty", [TotalVariation, FusedLasso])
@pytest.mark.parametrize("axis", ["output", (0, 1), 0.5, True, None])
def test_fused_penalties_need_one_axis(penalty, axis):
    with pytest.raises(
        ValueError,
        match=r"`axis` must be an int, the axis along which differences.*Received: axis=",
    ):
        penalty(0.1, axis=axis)


def test_attach_translates_axis_names():
    inputs = keras.Input((4, 3))
    x = keras.layers.Dense(5, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.LSTM(2, name="lstm")(x))
    attached = kerasreg.attach(model, {"hidden/kernel": NuclearNorm(0.1, axis="input")})
    assert repr(attached["hidden/kernel"]) == "NuclearNorm(factor=0.1, axis=0)"
    with pytest.raises(ValueError, match="concatenates the matrices of 4 gates"):
        kerasreg.attach(model, {"lstm.*kernel": NuclearNorm(0.1, axis="output")})
