"""Non-convex elementwise penalties: special cases and training."""

import keras
import numpy as np
import pytest
from problems import kernel, linear, train
from tensors import DTYPES, array, gradient, tensor

from kerasreg.regularizers import L0, L1, MCP, SCAD, CappedL1, LogSum, Lp, TransformedL1

LARGE = 1e9
LIMITS = [
    (MCP(0.3, gamma=LARGE), L1(0.3)),
    (SCAD(0.3, a=LARGE), L1(0.3)),
    (CappedL1(0.3, theta=LARGE), L1(0.3)),
    (TransformedL1(0.3, a=LARGE), L1(0.3)),
    (LogSum(0.3 * LARGE, epsilon=LARGE), L1(0.3)),
    (TransformedL1(0.3, a=1e-9), L0(0.3)),
    # A cap so low that the penalty counts weights.
    (CappedL1(0.3e9, theta=1e-9), L0(0.3)),
    (MCP(0.6e9, gamma=1 / (0.6 * LARGE * LARGE)), L0(0.3)),
]


@pytest.mark.parametrize("fine", [False, True], ids=["one step", "per weight"])
@pytest.mark.parametrize(("one", "same"), LIMITS, ids=repr)
def test_special_cases_equal_simpler_penalties(one, same, fine):
    rng = np.random.default_rng(0)
    weights = tensor(rng.normal(size=(4, 6)))
    step = tensor(10.0 ** rng.uniform(-3, 2, (4, 6)) if fine else 0.7)
    np.testing.assert_allclose(array(one(weights)), array(same(weights)), rtol=1e-6)
    x, expected = array(one.prox(weights, step)), array(same.prox(weights, step))
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(x == 0, expected == 0)


PENALTIES = [
    L0(0.1),
    MCP(0.1),
    SCAD(0.1),
    CappedL1(0.1),
    Lp(0.1),
    Lp(0.1, p=2 / 3),
    LogSum(0.1),
    TransformedL1(0.1),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_gradients_are_finite_and_zero_at_zero(penalty, dtype):
    smallest = 1e-7 if dtype == "float16" else 1e-30
    slope = gradient(penalty, tensor([0.0, -0.0, smallest, -1.0, 1e4], dtype))
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:2], 0.0)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_large_weights_are_shrunk_less(penalty):
    """L1 shrinks each of these weights by 0.01."""
    weights = tensor([1.0, 10.0, 100.0])
    moved = array(weights) - array(penalty.prox(weights, 0.1))
    assert (moved < 0.0095).all()
    assert (np.diff(moved) <= 0).all()
    assert array(penalty.prox(tensor(1e-3), 0.1)) == 0


def sparse_problem():
    """`(x, y, w)`: three of 20 weights, and noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 20)).astype("float32")
    w = np.zeros((20, 1), "float32")
    w[:3, 0] = 1.0, -2.0, 3.0
    return x, x @ w + 0.1 * rng.normal(size=(200, 1)).astype("float32"), w


def least_squares(x, y):
    """Returns the least-squares weights of the three true inputs."""
    w = np.zeros((20, 1))
    w[:3] = np.linalg.lstsq(x[:, :3], y, rcond=None)[0]
    return w


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("penalty", PENALTIES[1:], ids=repr)
def test_training_reaches_a_stationary_point(penalty, optimizer):
    x, y, truth = sparse_problem()
    model = linear(20, penalty)
    steps = {"sgd": keras.optimizers.SGD(0.05), "adam": keras.optimizers.Adam(0.05)}
    model.compile(steps[optimizer], "mse")
    train(model, x, y, 400)
    w = kernel(model)
    np.testing.assert_array_equal(w != 0, truth != 0)
    after = w - 1e-3 * 2 / len(x) * x.T @ (x @ w - y)
    np.testing.assert_allclose(array(penalty.prox(tensor(after), 1e-3)), w, atol=1e-6)
    if isinstance(penalty, (MCP, SCAD, CappedL1)):
        np.testing.assert_allclose(w, least_squares(x, y), atol=1e-4)


def test_l0_finds_the_best_subset():
    """The step is long, because for L0 every set of non-zero weights is a local minimum."""
    x, y, _ = sparse_problem()
    model = linear(20, L0(0.1))
    model.compile(keras.optimizers.SGD(0.3), "mse")
    train(model, x, y, 50)
    w = kernel(model)
    np.testing.assert_array_equal(w[3:], 0.0)
    np.testing.assert_allclose(w, least_squares(x, y), atol=1e-5)


def test_l0_has_no_effect_without_the_prox():
    x, y, _ = sparse_problem()
    weights = []
    for penalty in (L0(0.1), None):
        model = linear(20, penalty)
        model.compile(keras.optimizers.SGD(0.05), "mse")
        train(model, x, y, 10, callbacks=[])
        weights.append(kernel(model))
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("p", [0.3, 1, 1.0, 0, 0.667, "0.5", None, True, float("nan"), [0.5]])
def test_other_powers_raise(p):
    with pytest.raises(ValueError, match=r"`p` must be 1/2 or 2/3.*Received: p="):
        Lp(0.1, p=p)


def test_powers_are_stored_exactly():
    assert Lp(0.1, p=np.float64(2 / 3)).get_config() == {"factor": 0.1, "p": 2 / 3}
    assert type(Lp(0.1, p=np.float64(0.5)).p) is float
