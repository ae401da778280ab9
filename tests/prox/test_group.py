"""Proximal operators of weights and groups, for large groups and many scales."""

import keras
import needs
import numpy as np
import pytest
from keras import ops
from scipy.optimize import brentq
from tensors import BACKEND, array, compiled, tensor

from kerasreg._prox import (
    group_soft_threshold,
    group_soft_threshold_from,
    shrink,
    soft_threshold,
)

EXACT = "float32" if BACKEND == "jax" else "float64"


def norm(x, axis=None):
    return np.sqrt(np.sum(x**2, axis=axis))


def group_prox(z, threshold, axes, dtype="float32"):
    return array(group_soft_threshold(tensor(z, dtype), tensor(threshold, dtype), axes))


def test_soft_threshold_equals_its_formula():
    z = np.array([3.0, -3.0, 1.0, -1.0, 0.5, -0.5, 0.0])
    np.testing.assert_array_equal(
        array(soft_threshold(tensor(z), 1.0)), [2.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    )
    assert not np.signbit(array(soft_threshold(tensor(z), 1.0))[2:]).any()
    np.testing.assert_array_equal(
        array(soft_threshold(tensor(z), tensor(z**2))), 0.0 * z + [0, 0, 0, 0, 0.25, -0.25, 0]
    )


def test_shrink_is_a_division():
    z = np.array([3.0, -3.0, 0.0])
    np.testing.assert_array_equal(array(shrink(tensor(z), 1.0)), [1.0, -1.0, 0.0])
    np.testing.assert_array_equal(array(shrink(tensor(z), np.inf)), [0.0, 0.0, 0.0])


@pytest.mark.parametrize("power", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("spread", [0, 1, 4, 8, 12])
@pytest.mark.parametrize("size", [1, 2, 30, 1000])
def test_the_root_is_exact_for_any_spread_of_thresholds(size, spread, power):
    """Against a bracketing solver, also for groups that are nearly dead.

    The search is slowest if large weights have large thresholds: lower bounds are then far off.
    """
    rng = np.random.default_rng(size)
    groups = 40
    threshold = 10.0 ** (rng.uniform(-spread / 2, spread / 2, (size, groups)))
    z = rng.normal(size=(size, groups)) * 10.0 ** rng.uniform(-2, 2, groups)
    z *= threshold**power
    # The thresholds are scaled so that groups range from nearly zero to nearly unchanged.
    threshold *= norm(z / threshold, axis=0) / (1 + 10.0 ** rng.uniform(-4, 4, groups))
    got = group_prox(z, threshold, (0,), EXACT)
    single = group_prox(z, threshold, (0,), "float32")
    for g in range(groups):
        zg, tg = z[:, g], threshold[:, g]
        root = brentq(lambda s: norm(zg / (s + tg)) - 1, 0, norm(zg), xtol=1e-300, rtol=1e-15)  # noqa: B023
        expected = zg * root / (root + tg)
        for x, tolerance in ((got, 1e-6 if EXACT == "float32" else 1e-9), (single, 1e-6)):
            assert abs(x[:, g] - expected).max() <= tolerance * abs(zg).max()


@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_optimality_conditions_hold(size):
    """`(z - x) / threshold` is the subgradient: `x / ||x||`, or of a norm of at most 1 at zero."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(size, 60))
    threshold = 10.0 ** rng.uniform(-1, 1, (size, 60))
    threshold *= norm(z / threshold, axis=0) * 10.0 ** rng.uniform(-1, 1, 60)
    x = group_prox(z, threshold, (0,), EXACT)
    dead = (x == 0).all(axis=0)
    assert dead.any()
    assert not dead.all()
    subgradient = (z - x) / threshold
    assert (norm(subgradient, axis=0)[dead] <= 1 + 1e-6).all()
    tolerance = 1e-4 if EXACT == "float32" else 1e-9
    alive = x[:, ~dead]
    np.testing.assert_allclose(
        subgradient[:, ~dead], alive / norm(alive, axis=0), atol=tolerance, rtol=tolerance
    )


def test_the_result_scales_with_weights_and_thresholds():
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(6, 5)), rng.uniform(0, 1, (6, 5))
    for t in (threshold, threshold[:1]):
        reference = group_prox(z, t, (0,))
        for scale in (2.0**-60, 2.0**-20, 2.0**20, 2.0**60):
            np.testing.assert_allclose(
                group_prox(scale * z, scale * t, (0,)) / scale, reference, rtol=1e-5, atol=1e-7
            )


def test_groups_are_independent():
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(6, 5)), rng.uniform(0, 3, (6, 5))
    together = group_prox(z, threshold, (0,))
    for g in range(5):
        alone = group_prox(z[:, g : g + 1], threshold[:, g : g + 1], (0,))
        np.testing.assert_allclose(alone[:, 0], together[:, g], rtol=1e-6)


def test_zeros_in_a_group_do_not_change_its_other_weights():
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(6, 5)), rng.uniform(0, 1, (6, 5))
    short = group_prox(z, threshold, (0,))
    for step in (0.0, 1e-8, 1.0, 1e8, np.inf):
        longer = group_prox(
            np.vstack([z, np.zeros((3, 5))]), np.vstack([threshold, np.full((3, 5), step)]), (0,)
        )
        np.testing.assert_allclose(longer[:6], short, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(longer[6:], 0.0)


def test_thresholds_of_zero_keep_their_weights():
    z = np.array([[3.0], [0.25], [-1.0], [0.5]])
    x = group_prox(z, [[0.0], [0.0], [4.0], [np.inf]], (0,))
    np.testing.assert_array_equal(x[:2], z[:2])
    assert -1 < x[2, 0] < 0
    assert x[3, 0] == 0


def test_no_axes_means_groups_of_one():
    z = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_array_equal(
        group_prox(z, np.full((6, 5), 0.5), ()), array(soft_threshold(tensor(z), 0.5))
    )


@needs.COMPILATION
def test_compiled_and_eager_zeros_are_equal():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(9, 200)) * rng.choice([0, 1e-20, 1, 1e20], (9, 200))
    threshold = 10.0 ** rng.uniform(-12, 8, (9, 200))
    prox, _ = compiled(lambda z, t: group_soft_threshold(z, t, (0,)))
    under_xla, eager = array(prox(tensor(z), tensor(threshold))), group_prox(z, threshold, (0,))
    np.testing.assert_array_equal(under_xla == 0, eager == 0)
    largest = abs(z).max(axis=0)
    assert (abs(under_xla - eager) <= 1e-6 * largest).all()


def test_a_variable_can_be_converted_and_thresholded():
    variable = keras.Variable(np.ones((2, 2)), dtype="float32")
    assert ops.shape(
        group_soft_threshold(ops.convert_to_tensor(variable), 0.1 * ops.ones((2, 2)), (0,))
    ) == (2, 2)


def from_start(z, threshold, start):
    x, following = group_soft_threshold_from(
        *(tensor(each, "float32") for each in (z, threshold, start)), (0,)
    )
    return array(x), array(following)


def test_the_prox_from_a_start_does_not_depend_on_the_start():
    """From zeros, from its own result, and from roots of groups that have changed altogether."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 40)) * 10.0 ** rng.uniform(-2, 2, 40)
    threshold = 10.0 ** rng.uniform(-1, 1, size=z.shape)
    threshold *= norm(z / threshold, axis=0) * 10.0 ** rng.uniform(-1, 1, 40)
    expected = group_prox(z, threshold, (0,))
    assert 5 < (expected == 0).all(axis=0).sum() < 35
    x, root = from_start(z, threshold, np.zeros((1, 40)))
    for start in (root, root[:, ::-1], 1e3 * root, 1e-3 * root, np.ones((1, 40))):
        x, following = from_start(z, threshold, start)
        np.testing.assert_array_equal((x == 0).all(axis=0), (expected == 0).all(axis=0))
        np.testing.assert_allclose(x, expected, rtol=2e-5)
        np.testing.assert_allclose(following, root, rtol=2e-5, atol=1e-6)


def test_small_changes_leave_an_error_of_their_square():
    rng = np.random.default_rng(0)
    z, threshold = rng.normal(size=(50, 40)), 10.0 ** rng.uniform(-1.5, 0.5, size=(50, 40))
    _, root = from_start(z, threshold, np.zeros((1, 40)))
    for change in (1e-2, 1e-3):
        moved = z * (1 + change * rng.uniform(-1, 1, z.shape))
        expected = group_prox(moved, threshold, (0,))
        x, following = from_start(moved, threshold, root)
        error = norm(x - expected, axis=0) / norm(z, axis=0)
        assert error.max() < 3 * change**2 + 1e-6
        # Another call without a change has no error left.
        again, _ = from_start(moved, threshold, following)
        np.testing.assert_allclose(again, expected, atol=2e-6)


def test_groups_die_and_come_back_from_a_start():
    rng = np.random.default_rng(0)
    direction, threshold = rng.normal(size=(20, 1)), 10.0 ** rng.uniform(-1, 1, (20, 1))
    border = 1 / norm(direction / threshold)
    start = np.zeros((1, 1))
    for size in (0.5, 0.99, 1.01, 1.5, 1.01, 1.001, 0.999, 0.5, 0.5):
        for _ in range(2):
            x, start = from_start(size * border * direction, threshold, start)
        assert (x == 0).all() == (size < 1), size
        assert (start == 0).all() == (size < 1), size


def test_nan_in_one_group_stays_there_from_a_start():
    z, threshold = np.ones((3, 2)), np.array([[0.1], [0.2], [0.3]]) * np.ones((3, 2))
    z[0, 0] = np.nan
    x, following = from_start(z, threshold, np.zeros((1, 2)))
    assert np.isnan(x[0, 0])
    np.testing.assert_allclose(x[:, 1:], group_prox(z[:, 1:], threshold[:, 1:], (0,)), rtol=1e-6)
    x, _ = from_start(z, threshold, following)
    np.testing.assert_allclose(x[:, 1:], group_prox(z[:, 1:], threshold[:, 1:], (0,)), rtol=1e-6)
