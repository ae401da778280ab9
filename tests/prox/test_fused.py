"""`fused_threshold` for long lines, any thresholds and degenerate lines, beyond `cases.py`."""

import needs
import numpy as np
import pytest
from keras import ops
from oracles_structured import fused
from tensors import array, compiled, tensor

from kerasreg._prox import fused_threshold
from kerasreg._prox.prefix import prefix


def solve(z, threshold, l1=0.0, axis=0):
    return array(fused_threshold(tensor(z), tensor(threshold), l1, axis))


def reference(z, threshold, l1=0.0):
    return fused("", {}, z.shape, l1, 1.0).prox(array(tensor(z)), array(tensor(threshold)))


@pytest.mark.parametrize("l1", [0.0, 0.5])
@pytest.mark.parametrize("spread", [0, 1, 4, 10])
@pytest.mark.parametrize("size", [2, 3, 40])
def test_exact_for_steps_of_any_spread(size, spread, l1):
    """In float32: the same blocks, the same zeros, and values to the last digits."""
    rng = np.random.default_rng(size)
    shape = (size, 120 // size)
    z, threshold = rng.normal(size=shape), 10.0 ** rng.uniform(-spread, spread, shape)
    x, expected = solve(z, threshold, l1), reference(z, threshold, l1)
    np.testing.assert_array_equal(np.diff(x, axis=0) == 0, np.diff(expected, axis=0) == 0)
    np.testing.assert_array_equal(x == 0, expected == 0)
    assert (abs(x - expected) <= 4 * 2.0**-23 * abs(z).max(axis=0)).all()


def test_a_long_line_satisfies_the_optimality_conditions():
    """The tension at each edge, `sum (x - z) / threshold`, is at its limit wherever x jumps."""
    rng = np.random.default_rng(0)
    levels = np.repeat(rng.normal(size=20), 50)
    z = array(tensor(levels + 0.3 * rng.normal(size=1000)))
    threshold = array(tensor(10.0 ** rng.uniform(-0.5, 1, 1000)))
    x = solve(z[:, None], threshold[:, None])[:, 0]
    tension = np.cumsum((x - z) / threshold)
    jump = np.sign(np.diff(x))
    assert 10 < np.count_nonzero(jump) < 500
    assert abs(tension).max() <= 1 + 1e-4
    assert abs(tension[-1]) <= 1e-4
    np.testing.assert_allclose(tension[:-1][jump != 0], jump[jump != 0], atol=1e-4)


@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_constant_lines_stay_constant(l1):
    z = np.broadcast_to(np.random.default_rng(0).normal(size=50), (30, 50))
    threshold = np.full(z.shape, 0.1)
    x = solve(z, threshold, l1)
    assert (x == x[0]).all()
    soft = np.sign(z) * np.maximum(abs(z) - 0.1 * l1, 0)
    np.testing.assert_allclose(x, soft, rtol=1e-6, atol=1e-7)


def test_ties_are_solved_exactly():
    """On a coarse grid, many neighbours are exactly equal."""
    rng = np.random.default_rng(0)
    z = np.round(2 * rng.normal(size=(40, 20))) / 2
    threshold = np.full(z.shape, 0.5)
    x, expected = solve(z, threshold), reference(z, threshold)
    np.testing.assert_array_equal(np.diff(x, axis=0) == 0, np.diff(expected, axis=0) == 0)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)


def test_thresholds_can_be_zero_or_infinite():
    z = np.array([[0.0], [3.0], [1.0], [2.0], [8.0]])
    np.testing.assert_array_equal(solve(z, np.zeros(z.shape)), z)
    np.testing.assert_allclose(solve(z, np.full(z.shape, np.inf)), 2.8, rtol=1e-6)
    np.testing.assert_array_equal(solve(z, np.full(z.shape, np.inf), 0.5), 0)
    # Weights with threshold 0 stay; those with threshold inf take values between them.
    threshold = np.array([[0.0], [np.inf], [np.inf], [np.inf], [0.0]])
    np.testing.assert_allclose(solve(z, threshold)[:, 0], [0, 2, 2, 2, 8], rtol=1e-6)


def test_the_result_follows_scale_order_sign_and_axis():
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(12, 9)), rng.uniform(0, 1, (12, 9))
    x = solve(z, threshold)
    for scale in (2.0**-60, 2.0**60):
        np.testing.assert_allclose(solve(scale * z, scale * threshold) / scale, x, rtol=1e-6)
    np.testing.assert_allclose(solve(z[::-1], threshold[::-1])[::-1], x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(solve(-z, threshold), -x, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(solve(z.T, threshold.T, axis=1), x.T)


@needs.COMPILATION
@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_compiled_and_eager_blocks_are_equal(l1):
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(60, 5)), 10.0 ** rng.uniform(-3, 3, (60, 5))
    prox, _ = compiled(lambda z, threshold: fused_threshold(z, threshold, l1))
    under_xla, eager = array(prox(tensor(z), tensor(threshold))), solve(z, threshold, l1)
    np.testing.assert_array_equal(np.diff(under_xla, axis=0) == 0, np.diff(eager, axis=0) == 0)
    np.testing.assert_allclose(under_xla, eager, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100])
def test_prefix_composes_in_order(size):
    """Affine functions do not commute, so the order matters."""
    rng = np.random.default_rng(0)
    slopes, offsets = rng.normal(size=(2, size, 3))

    def compose(first, then):
        return [first[0] * then[0], first[1] * then[0] + then[1]]

    got = [array(part) for part in prefix(compose, [tensor(slopes), tensor(offsets)])]
    value = np.zeros(3)
    for i in range(size):
        value = slopes[i] * value + offsets[i]
        np.testing.assert_allclose(got[1][i], value, rtol=1e-4, atol=1e-5)
    assert ops.shape(got[0]) == (size, 3)
