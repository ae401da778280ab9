"""The proximal operator of SLOPE: many weights, ties, optimality, special cases."""

import needs
import numpy as np
import pytest
from oracles_structured import slope
from tensors import array, compiled, tensor

from kerasreg._prox import soft_threshold, sorted_threshold
from kerasreg.regularizers import SLOPE


def solve(z, threshold, omega):
    return array(sorted_threshold(tensor(z), tensor(threshold), tensor(omega)))


@pytest.mark.parametrize("step", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("arguments", [{"q": 0.2}, {"sequence": "linear", "last": 0.1}], ids=str)
def test_many_weights_agree_with_the_min_max_formula(arguments, step):
    arguments = {"factor": 0.5, **arguments}
    z = array(tensor(np.random.default_rng(0).normal(size=(10, 9))))
    expected = slope(arguments, z.shape).prox(z, np.full(z.shape, step))
    x = array(SLOPE(**arguments).prox(tensor(z), step))
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(x == 0, expected == 0)


def test_many_weights_satisfy_the_optimality_conditions():
    """`z - x` is a subgradient: omega majorises it, and its product with x is the value."""
    z = np.random.default_rng(0).normal(size=20_000)
    omega = np.linspace(1, 0.2, z.size)
    x = solve(z, 1.0, omega)
    residual = array(tensor(z)) - x
    sorted_residual = np.sort(abs(residual))[::-1]
    assert (np.cumsum(sorted_residual) <= np.cumsum(omega) * (1 + 1e-6)).all()
    value = np.sum(omega * np.sort(abs(x))[::-1])
    np.testing.assert_allclose(np.sum(residual * x), value, rtol=1e-5)
    assert 0 < np.count_nonzero(x) < z.size


def test_pooled_weights_are_equal():
    x = solve([3.0, -3.2, 3.1, 0.5, -9.0], 1.0, [1.0, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(x, [2.5, -2.5, 2.5, 0.3, -8.0], rtol=1e-6)
    assert x[0] == -x[1] == x[2]


def test_a_constant_sequence_gives_the_soft_threshold():
    z = np.random.default_rng(0).normal(size=(30, 20))
    np.testing.assert_allclose(
        solve(z, 0.7, np.ones(600)), array(soft_threshold(tensor(z), 0.7)), rtol=1e-6, atol=1e-7
    )


def test_equal_weights_stay_equal_and_zeros_stay_zero():
    x = solve([1.0, -1.0, 1.0, 0.0, 0.0], 0.5, [1.0, 0.75, 0.5, 0.25, 0.0])
    np.testing.assert_allclose(x, [0.625, -0.625, 0.625, 0, 0], rtol=1e-6)
    assert not np.signbit(x[3:]).any()


@needs.COMPILATION
def test_compiled_and_eager_zeros_are_equal():
    z, omega = np.random.default_rng(0).normal(size=(50, 40)), np.linspace(1, 0, 2000)
    prox, _ = compiled(lambda z, threshold: sorted_threshold(z, threshold, tensor(omega)))
    under_xla, eager = array(prox(tensor(z), tensor(1.0))), solve(z, 1.0, omega)
    np.testing.assert_array_equal(under_xla == 0, eager == 0)
    np.testing.assert_allclose(under_xla, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence": "oscar"}, r"`sequence` must be"),
        ({"q": 0.0}, r"`q` must be a finite number above 0 and below 1"),
        ({"q": 1.0}, r"`q` must be a finite number above 0 and below 1"),
        ({"last": 1.5}, r"`last` must be a finite number of at least 0 and at most 1"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message + ".*Received"):
        SLOPE(**arguments)
