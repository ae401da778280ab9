"""The proximal operator of every penalty against brute force in float64, and its properties."""

import keras
import numpy as np
import pytest
from cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from loops import by_class, loop
from tensors import BACKEND, DTYPES, array, compiled, tensor

from kerasreg import regularizers

PROXIMAL = [case for case in CASES if case.prox is not None]
every_case = by_class(PROXIMAL)
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
#: Below this, hardware may flush to zero.
TINY = {"float64": 1e-300, "float32": 1e-37, "float16": 1e-7, "bfloat16": 1e-37}

LOOPS = ["FusedLasso", "SLOPE", "TotalVariation"]
_COMPILED = {}


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


def steps(case):
    """Steps that are 0 or between 1e-12 and 1e8: one, or the finest that the prox supports."""
    exponents = st.floats(-12, 8) | st.floats(-2, 2)
    step = st.just(0.0) | exponents.map(lambda exponent: 10.0**exponent)
    finest = build(case).step_shape(case.shape)
    return step.map(np.float64) | npst.arrays("float64", finest, elements=step)


def random_steps(case, rng, low, high, fine=True):
    """Returns one step, or the finest that the prox supports, with a log-uniform distribution."""
    return 10.0 ** rng.uniform(low, high, build(case).step_shape(case.shape) if fine else ())


def per_weight(case, step):
    """Returns one step per weight, from steps that may be one per group."""
    step = np.asarray(step)
    if case.steps == "group" and step.ndim:
        return step.ravel()[case.groups]
    return np.broadcast_to(step, case.shape)


def fast(case):
    """Returns `build(case)`, with a compiled prox if it has a loop, which is slow in eager mode.

    On JAX, loops are always compiled.
    """
    if BACKEND != "tensorflow" or case.name not in LOOPS:
        return build(case)
    if str(case) not in _COMPILED:
        _COMPILED[str(case)] = regularizer = build(case)
        regularizer._prox, _ = compiled(regularizer._prox, xla=False)
    return _COMPILED[str(case)]


def prox(case, z, t, dtype):
    """`(weights, steps, prox)` in float64, as the prox in `dtype` saw and gave them."""
    weights = tensor(z, dtype)
    step = tensor(t, "float64" if dtype == "float64" else "float32")
    result = fast(case).prox(weights, step)
    assert tuple(result.shape) == tuple(case.shape)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    return array(weights), per_weight(case, array(step)), array(result)


def group_max(case, x):
    """For each weight, the largest absolute value in its group."""
    largest = np.zeros(case.groups.max() + 1)
    np.maximum.at(largest, case.groups.ravel(), abs(x).ravel())
    return largest[case.groups]


def objective(case, x, z, t):
    moved = np.where(t > 0, (x - z) ** 2 / np.where(t > 0, 2 * t, 1), np.where(x == z, 0, np.inf))
    possible = (case.allowed(x) == x).all()
    return case.value(x) + moved.sum() if possible else np.inf


def check(case, z, t, dtype):
    z, t, x = prox(case, z, t, dtype)
    # The steps from float32 to half precision and back are exact for the reference.
    expected = case.prox(z, t)
    rounding = 4 * EPSILON[dtype] * group_max(case, case.size(z)) + TINY[dtype]
    if case.convex:
        # Where the forces on a weight cancel, the rounding of one of them decides.
        force = np.minimum(EPSILON[dtype] * case.slope * t, group_max(case, case.size(z)))
        np.testing.assert_array_less(abs(x - expected), rounding + force + 1e-7 * case.size(z))
    if case.shrinks:
        # No sign changes, and no weight grows.
        assert (x * np.sign(z) >= 0).all()
        assert (abs(x) <= abs(z) * (1 + 4 * EPSILON[dtype]) + TINY[dtype]).all()
    assert (x[t == 0] == case.allowed(z)[t == 0]).all() or dtype != "float64"
    # Up to rounding, the objective is not above that of brute force.
    allowed = np.where(t > 0, rounding**2 / np.where(t > 0, t, 1), 0).sum() + case.value(rounding)
    if not case.convex:
        # If two minimizers are equally good, rounding decides between them.
        allowed += 64 * EPSILON[dtype] * np.where(t > 0, z**2 / np.where(t > 0, 2 * t, 1), 0).sum()
    reached, best = objective(case, np.where(t > 0, x, z), z, t), objective(case, expected, z, t)
    assert reached <= best * (1 + 1e-12) + allowed
    if case.margin is None:
        return
    # The condition for zero, with a tolerance for the rounding of both sides.
    margin = case.margin(z, t)
    off = margin < 1 - 16 * EPSILON["float64" if dtype == "float64" else "float32"]
    assert (x[off] == 0).all()
    assert not np.signbit(x[off & (z != 0)]).any()
    visible = group_max(case, expected) > 4 * TINY[dtype]
    on = (margin > 1 + 1e-4) & visible
    assert (group_max(case, x)[on] > 0).all()


@every_case
@settings(max_examples=settings().max_examples // 10)
@given(data=st.data())
def test_the_prox_equals_brute_force(case, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    check(case, data.draw(points(case.shape)), data.draw(steps(case)), dtype)


@every_case
@loop(fine=[False, True])
def test_the_prox_equals_brute_force_for_typical_weights(case, fine):
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for size in (0.01, 1.0, 100.0):
            t = random_steps(case, rng, -3, 2, fine)
            check(case, size * rng.normal(size=case.shape), t, dtype)


@every_case
def test_no_other_point_is_better_than_the_reference(case):
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.normal(size=case.shape)
        t = per_weight(case, random_steps(case, rng, -2, 2))
        best = case.prox(z, t)
        others = [best + 10.0 ** rng.uniform(-8, 1) * rng.normal(size=z.shape) for _ in range(20)]
        others += [np.where(best == 0, 0, other) for other in others]
        others += [np.where(case.groups == label, 0, best) for label in np.unique(case.groups)]
        lowest = min(objective(case, x, z, t) for x in others)
        assert objective(case, best, z, t) <= lowest * (1 + 1e-13)


@every_case
def test_equal_steps_equal_the_scalar_step(case):
    rng = np.random.default_rng(0)
    for step in (1e-12, 1e-3, 0.5, 3.0, 1e8):
        z = rng.normal(size=case.shape)
        _, _, one = prox(case, z, step, "float32")
        _, _, each = prox(case, z, np.full(build(case).step_shape(case.shape), step), "float32")
        np.testing.assert_allclose(one, each, rtol=1e-6, atol=4e-7)
        np.testing.assert_array_equal(one == 0, each == 0)


@by_class([c for c in PROXIMAL if c.convex])
@settings(max_examples=settings().max_examples // 16)
@given(data=st.data())
def test_convex_proxes_are_firmly_nonexpansive(case, data):
    step = data.draw(st.floats(-12, 8).map(lambda exponent: 10.0**exponent))
    a, _, prox_a = prox(case, data.draw(points(case.shape)), step, "float32")
    b, _, prox_b = prox(case, data.draw(points(case.shape)), step, "float32")
    moved = prox_a - prox_b
    rounding = 1e-6 * max(abs(a).max(), abs(b).max(), 1e-37) * max(abs(a - b).max(), 1e-37)
    rounding += (1e-6 * case.size(0 * a).max()) ** 2
    assert np.sum(moved**2) <= np.sum(moved * (a - b)) + rounding * a.size


@every_case
@loop(dtype=["float32", "bfloat16"], fine=[False, True])
def test_non_finite_weights_affect_only_their_group(case, dtype, fine):
    rng = np.random.default_rng(0)
    z = rng.normal(size=case.shape)
    t = random_steps(case, rng, -2, 2, fine)
    _, _, good = prox(case, z, t, dtype)
    at = (0,) * z.ndim
    others = case.groups != case.groups[at]
    for bad in (np.nan, np.inf, -np.inf):
        z[at] = bad
        _, _, x = prox(case, z, t, dtype)
        assert np.isnan(x[at]) if np.isnan(bad) else not np.isfinite(x[at])
        np.testing.assert_array_equal(x[others], good[others])


@every_case
@loop(fine=[False, True])
def test_an_infinite_step_minimizes_the_penalty(case, fine):
    z = np.random.default_rng(0).normal(size=case.shape)
    t = np.full(build(case).step_shape(case.shape) if fine else (), np.inf)
    _, _, x = prox(case, z, t, "float32")
    assert np.isfinite(x).all()
    if case.shrinks:
        off = case.value(np.ones(case.shape)) == 0
        np.testing.assert_array_equal(x, array(tensor(z)) if off else np.zeros(case.shape))
    if fine and case.shape and case.steps == "weight":
        t = np.where(case.groups == 0, np.inf, 0.1)
        assert np.isfinite(prox(case, z, t, "float32")[2]).all()
        t = np.where(np.arange(z.size).reshape(z.shape) % 2, np.inf, 0.1)
        assert np.isfinite(prox(case, z, t, "float32")[2]).all()


@every_case
def test_python_numpy_and_tensor_steps_agree(case):
    z = np.random.default_rng(0).normal(size=case.shape)
    for dtype in DTYPES:
        weights, regularizer = tensor(z, dtype), fast(case)
        expected = array(regularizer.prox(weights, tensor(0.1, dtype)))
        tolerance = {"rtol": EPSILON[dtype], "atol": EPSILON[dtype]}
        for step in (0.1, np.float64(0.1), np.asarray(0.1), keras.Variable(0.1, dtype=dtype)):
            np.testing.assert_allclose(
                array(regularizer.prox(weights, step)), expected, **tolerance
            )


@by_class([c for c in PROXIMAL if c.steps != "weight"])
def test_steps_of_a_finer_shape_raise(case):
    regularizer = build(case)
    with pytest.raises(ValueError, match=r"`step` must be.*Received: a step of shape"):
        regularizer.prox(tensor(np.ones(case.shape)), np.ones(case.shape, "float32"))
    # The common step is between the smallest step and the mean.
    rng = np.random.default_rng(0)
    steps = 10.0 ** rng.uniform(-3, 3, case.shape)
    common = array(regularizer.common_step(tensor(steps), case.shape))
    assert np.shape(common) == regularizer.step_shape(case.shape)
    common = per_weight(case, common)
    labels = case.groups if case.steps == "group" else np.zeros(case.shape, int)
    for label in np.unique(labels):
        inside = steps[labels == label]
        expected = np.mean(inside**-2.0) ** -0.5
        np.testing.assert_allclose(common[labels == label], expected, rtol=1e-5)


@by_class({c.name: c for c in PROXIMAL}.values())
@loop(step=[-1.0, -1e-12, np.nan, np.float32(-1), -1])
def test_negative_steps_raise(case, step):
    with pytest.raises(ValueError, match=r"`step` must be a number >= 0.*Received: step="):
        build(case).prox(tensor(np.ones(case.shape)), step)
