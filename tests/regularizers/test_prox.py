"""The prox of every penalty, against brute force in float64 and by its own properties."""

import keras
import numpy as np
import pytest
from cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tensors import DTYPES, array, tensor

from kerasreg import regularizers

every_case = pytest.mark.parametrize("case", CASES, ids=str)
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
#: Below this, hardware may flush to zero.
TINY = {"float64": 1e-300, "float32": 1e-37, "float16": 1e-7, "bfloat16": 1e-37}


def build(case):
    return getattr(regularizers, case.name)(**case.arguments)


@st.composite
def points(draw, shape):
    """Weights of very different size: zeros, denormals, 1e-20 to 1e20."""
    size = 10.0 ** draw(st.floats(-20, 20) | st.floats(-2, 2) | st.just(0.0))
    spread = draw(st.sampled_from([0.0, 1.0, 10.0]))
    unit = npst.arrays("float64", shape, elements=st.floats(-1, 1, width=32))
    exponent = npst.arrays("float64", shape, elements=st.floats(-1, 1, width=32))
    point = draw(unit) * size * 10.0 ** (spread * draw(exponent))
    if draw(st.booleans()):
        point = np.where(draw(npst.arrays("bool", shape)), 0.0, point)
    if draw(st.integers(0, 9)) == 9:
        point = np.where(draw(npst.arrays("bool", shape)), 1e-42, point)
    return point


def steps(shape):
    """Exactly 0, or from 1e-12 to 1e8: one, or one per weight."""
    exponents = st.floats(-12, 8) | st.floats(-2, 2)
    step = st.just(0.0) | exponents.map(lambda exponent: 10.0**exponent)
    return step.map(np.float64) | npst.arrays("float64", shape, elements=step)


def prox(case, z, t, dtype):
    """`(weights, steps, prox)` in float64, as the prox in `dtype` saw and gave them."""
    weights = tensor(z, dtype)
    step = tensor(t, "float64" if dtype == "float64" else "float32")
    result = build(case).prox(weights, step)
    assert tuple(result.shape) == tuple(case.shape)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    return array(weights), np.broadcast_to(array(step), case.shape), array(result)


def group_max(case, x):
    """For each weight, the largest absolute value in its group."""
    largest = np.zeros(case.groups.max() + 1)
    np.maximum.at(largest, case.groups.ravel(), abs(x).ravel())
    return largest[case.groups]


def objective(case, x, z, t):
    moved = np.where(t > 0, (x - z) ** 2 / np.where(t > 0, 2 * t, 1), np.where(x == z, 0, np.inf))
    return case.value(x) + moved.sum()


def check(case, z, t, dtype):
    z, t, x = prox(case, z, t, dtype)
    # The steps from float32 to half precision and back are exact for the reference.
    expected = case.prox(z, t)
    rounding = 4 * EPSILON[dtype] * group_max(case, z) + TINY[dtype]
    np.testing.assert_array_less(abs(x - expected), rounding + 1e-7 * abs(z))
    # No sign changes, and no weight grows.
    assert (x * np.sign(z) >= 0).all()
    assert (abs(x) <= abs(z) * (1 + 4 * EPSILON[dtype]) + TINY[dtype]).all()
    assert (x[t == 0] == z[t == 0]).all() or dtype != "float64"
    # The objective at the point is not above that of brute force, but for rounding.
    allowed = np.where(t > 0, rounding**2 / np.where(t > 0, t, 1), 0).sum() + case.value(rounding)
    reached, best = objective(case, np.where(t > 0, x, z), z, t), objective(case, expected, z, t)
    assert reached <= best * (1 + 1e-12) + allowed
    # The condition for zero, with room for the rounding of both of its sides.
    margin = case.margin(z, t)
    off = margin < 1 - 16 * EPSILON["float64" if dtype == "float64" else "float32"]
    assert (x[off] == 0).all()
    assert not np.signbit(x[off & (z != 0)]).any()
    visible = group_max(case, expected) > 4 * TINY[dtype]
    on = (margin > 1 + 1e-4) & visible
    assert (group_max(case, x)[on] > 0).all()


@every_case
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_against_brute_force(case, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    check(case, data.draw(points(case.shape)), data.draw(steps(case.shape)), dtype)


@every_case
@pytest.mark.parametrize("per_weight", [False, True])
def test_against_brute_force_on_usual_weights(case, per_weight):
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for size in (0.01, 1.0, 100.0):
            t = 10.0 ** rng.uniform(-3, 2, case.shape if per_weight else ())
            check(case, size * rng.normal(size=case.shape), t, dtype)


@every_case
def test_nothing_near_or_far_is_better_than_the_reference(case):
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.normal(size=case.shape)
        t = 10.0 ** rng.uniform(-2, 2, case.shape)
        best = case.prox(z, t)
        others = [best + 10.0 ** rng.uniform(-8, 1) * rng.normal(size=z.shape) for _ in range(20)]
        others += [np.where(best == 0, 0, other) for other in others]
        others += [np.where(case.groups == label, 0, best) for label in np.unique(case.groups)]
        lowest = min(objective(case, x, z, t) for x in others)
        assert objective(case, best, z, t) <= lowest * (1 + 1e-13)


@every_case
def test_same_step_for_every_weight_is_the_scalar_step(case):
    rng = np.random.default_rng(0)
    for step in (1e-12, 1e-3, 0.5, 3.0, 1e8):
        z = rng.normal(size=case.shape)
        _, _, one = prox(case, z, step, "float32")
        _, _, each = prox(case, z, np.full(case.shape, step), "float32")
        np.testing.assert_allclose(one, each, rtol=1e-6, atol=4e-7)
        np.testing.assert_array_equal(one == 0, each == 0)


@every_case
@settings(max_examples=settings().max_examples // 8)
@given(data=st.data())
def test_firmly_nonexpansive(case, data):
    if not case.convex:
        pytest.skip("only the prox of a convex penalty is")
    step = data.draw(st.floats(-12, 8).map(lambda exponent: 10.0**exponent))
    a, _, prox_a = prox(case, data.draw(points(case.shape)), step, "float32")
    b, _, prox_b = prox(case, data.draw(points(case.shape)), step, "float32")
    moved = prox_a - prox_b
    rounding = 1e-6 * max(abs(a).max(), abs(b).max(), 1e-37) * max(abs(a - b).max(), 1e-37)
    assert np.sum(moved**2) <= np.sum(moved * (a - b)) + rounding * a.size


@every_case
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("per_weight", [False, True])
def test_non_finite_weights_stay_visible_and_in_their_group(case, dtype, per_weight):
    rng = np.random.default_rng(0)
    z = rng.normal(size=case.shape)
    t = 10.0 ** rng.uniform(-2, 2, case.shape if per_weight else ())
    _, _, good = prox(case, z, t, dtype)
    at = (0,) * z.ndim
    others = case.groups != case.groups[at]
    for bad in (np.nan, np.inf, -np.inf):
        z[at] = bad
        _, _, x = prox(case, z, t, dtype)
        assert np.isnan(x[at]) if np.isnan(bad) else not np.isfinite(x[at])
        np.testing.assert_array_equal(x[others], good[others])


@every_case
@pytest.mark.parametrize("per_weight", [False, True])
def test_an_infinite_step_minimises_the_penalty_alone(case, per_weight):
    z = np.random.default_rng(0).normal(size=case.shape)
    t = np.full(case.shape, np.inf) if per_weight else np.inf
    _, _, x = prox(case, z, t, "float32")
    off = case.value(np.ones(case.shape)) == 0
    np.testing.assert_array_equal(x, array(tensor(z)) if off else np.zeros(case.shape))
    if per_weight and case.shape:
        t = np.where(case.groups == 0, np.inf, 0.1)
        assert np.isfinite(prox(case, z, t, "float32")[2]).all()
        t = np.where(np.arange(z.size).reshape(z.shape) % 2, np.inf, 0.1)
        assert np.isfinite(prox(case, z, t, "float32")[2]).all()


@every_case
def test_python_numpy_and_tensor_steps_agree(case):
    z = np.random.default_rng(0).normal(size=case.shape)
    for dtype in DTYPES:
        weights, regularizer = tensor(z, dtype), build(case)
        expected = array(regularizer.prox(weights, tensor(0.1, dtype)))
        tolerance = {"rtol": EPSILON[dtype], "atol": EPSILON[dtype]}
        for step in (0.1, np.float64(0.1), np.asarray(0.1), keras.Variable(0.1, dtype=dtype)):
            np.testing.assert_allclose(
                array(regularizer.prox(weights, step)), expected, **tolerance
            )


@every_case
@pytest.mark.parametrize("step", [-1.0, -1e-12, np.nan, np.float32(-1), -1])
def test_a_negative_step_is_an_error(case, step):
    with pytest.raises(ValueError, match=r"`step` must be a number >= 0.*Received: step="):
        build(case).prox(tensor(np.ones(case.shape)), step)
