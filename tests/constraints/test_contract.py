"""The contract of every constraint: nearest points for any steps, configs, errors."""

import json

import keras
import needs
import numpy as np
import pytest
from cases_constraints import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from loops import by_class, loop
from tensors import DTYPES, array, compiled, tensor

from kerasreg import constraints

every_case = by_class(CASES)
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def build(case):
    return getattr(constraints, case.name)(**case.arguments)


def project(case, z, t, dtype="float32"):
    """Returns `(weights, steps, projection)`, computed in `dtype`, as float64 arrays."""
    weights = tensor(z, dtype)
    step = tensor(t, "float64" if dtype == "float64" else "float32")
    result = build(case).project(weights, step)
    assert tuple(result.shape) == tuple(case.shape)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    return array(weights), np.broadcast_to(array(step), case.shape), array(result)


def check(case, z, t, dtype):
    z, t, x = project(case, z, t, dtype)
    if dtype in ("float32", "float64"):
        # In half precision a small negative weight may round to -0.0.
        assert not np.signbit(x[(x == 0) & (z != 0)]).any()
    for xg, zg, tg in case.each(x, z, t):
        rounding = 4 * EPSILON[dtype] * np.sqrt(xg.size)
        assert case.excess(xg) <= rounding
        # Only ratios of steps matter: divide by the largest.
        tg = np.ones_like(tg) if tg.max() == 0 else tg / tg.max()
        if case.nearest is None:
            assert case.loss(xg, zg, tg) <= rounding * np.sum(zg**2 / tg)
        else:
            expected = case.nearest(zg, tg)
            limit = rounding * max(abs(zg).max(), abs(expected).max()) + 1e-37
            if abs(xg - expected).max() > limit:
                # For very different steps, rounding of the weights moves the nearest point.
                moved = abs(case.nearest(zg * (1 + rounding), tg) - expected)
                assert (abs(xg - expected) <= np.maximum(moved, limit)).all()


@st.composite
def points(draw, shape):
    size = 10.0 ** draw(st.floats(-10, 10) | st.floats(-2, 2))
    point = draw(npst.arrays("float64", shape, elements=st.floats(-1, 1, width=32)))
    if draw(st.booleans()):
        # Ties and zeros.
        point = np.round(2 * point) / 2
    return size * np.where(abs(point) < 1e-6, 0.0, point)


def steps(shape):
    step = st.floats(-6, 4).map(lambda exponent: 10.0**exponent)
    return step.map(np.float64) | npst.arrays("float64", shape, elements=step)


def test_every_public_constraint_has_a_case_and_is_registered():
    names = set(constraints.__all__) - {"Projection"}
    assert names == {case.name for case in CASES}
    for name in names:
        cls = getattr(constraints, name)
        assert keras.saving.get_registered_name(cls) == f"kerasreg>{name}"


@every_case
def test_the_reference_is_the_nearest_point(case):
    rng = np.random.default_rng(0)
    for _ in range(20):
        z, t = rng.normal(size=case.shape), 10.0 ** rng.uniform(-1, 1, case.shape)
        for zg, tg in case.each(z, t):
            if case.nearest is not None:
                x = case.nearest(zg, tg)
                assert case.excess(x) <= 1e-14
                assert case.loss(x, zg, tg) <= 1e-12


@every_case
@settings(max_examples=settings().max_examples // 10)
@given(data=st.data())
def test_the_projection_is_the_nearest_point(case, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    check(case, data.draw(points(case.shape)), data.draw(steps(case.shape)), dtype)


@every_case
@loop(spread=[0, 1, 3])
def test_the_projection_of_typical_weights_is_the_nearest_point(case, spread):
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for size in (0.01, 1.0, 100.0):
            t = 10.0 ** rng.uniform(-spread, spread, case.shape)
            check(case, size * rng.normal(size=case.shape), t, dtype)


@every_case
def test_points_inside_the_set_are_unchanged(case):
    rng = np.random.default_rng(0)
    _, t, inside = project(
        case, rng.normal(size=case.shape), 10.0 ** rng.uniform(-2, 2, case.shape)
    )
    inside = inside if case.name in ("Box", "KSparse", "Simplex") else 0.999 * inside
    _, _, x = project(case, inside, t)
    exact = case.name != "Simplex"
    np.testing.assert_allclose(x, array(tensor(inside)), rtol=0, atol=0 if exact else 1e-6)


@every_case
def test_only_the_ratios_of_the_steps_matter(case):
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=case.shape), 10.0 ** rng.uniform(-2, 2, case.shape)
    _, _, x = project(case, z, t)
    for scale in (2.0**-40, 2.0**-10, 2.0**26):
        np.testing.assert_allclose(project(case, z, scale * t)[2], x, rtol=1e-6, atol=1e-7)
    _, _, nearest = project(case, z, 1.0)
    np.testing.assert_array_equal(array(build(case)(tensor(z))), nearest)
    for step in (0.0, 1e-12, 1e8, np.inf, np.zeros(case.shape), np.full(case.shape, np.inf)):
        np.testing.assert_allclose(project(case, z, step)[2], nearest, rtol=1e-6, atol=1e-7)


@every_case
def test_zero_and_infinite_steps_are_limits(case):
    rng = np.random.default_rng(0)
    z = rng.normal(size=case.shape)
    some = np.arange(z.size).reshape(case.shape) % 2 == 0
    for extreme, finite in ((0.0, 1e-10), (np.inf, 1e10)):
        _, _, x = project(case, z, np.where(some, extreme, 1.0))
        assert np.isfinite(x).all()
        for (xg,) in case.each(x):
            assert case.excess(xg) <= 1e-6
        _, _, near = project(case, z, np.where(some, finite, 1.0))
        # A few roundings of float32 at a radius of 3.
        np.testing.assert_allclose(x, near, rtol=0, atol=3e-6)


@every_case
@loop(dtype=["float32", "bfloat16"], fine=[False, True])
def test_non_finite_weights_affect_only_their_group(case, dtype, fine):
    rng = np.random.default_rng(0)
    z = rng.normal(size=case.shape)
    t = 10.0 ** rng.uniform(-2, 2, case.shape if fine else ())
    _, _, good = project(case, z, t, dtype)
    at = (0,) * z.ndim
    others = case.groups != case.groups[at]
    for bad in (np.nan, np.inf, -np.inf):
        z[at] = bad
        _, _, x = project(case, z, t, dtype)
        if np.isnan(bad):
            assert np.isnan(x[at])
        elif case.name != "Box":
            assert not np.isfinite(x[at])
        np.testing.assert_array_equal(x[others], good[others])


@every_case
def test_very_large_and_very_small_weights(case):
    rng = np.random.default_rng(0)
    for size in (1e-30, 1e-20, 1e20):
        z = size * rng.normal(size=case.shape)
        for t in (1.0, 10.0 ** rng.uniform(-3, 3, case.shape)):
            check(case, z, t, "float32")


@by_class({c.name: c for c in CASES}.values())
@needs.COMPILATION
def test_projections_compile_once(case):
    constraint = build(case)
    both, traces = compiled(lambda w, t: (constraint(w), constraint.project(w, t)))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        weights = tensor(rng.normal(size=case.shape))
        step = tensor(10.0 ** rng.uniform(-3, 1, case.shape))
        eager = constraint(weights), constraint.project(weights, step)
        for result, expected in zip(both(weights, step), eager, strict=True):
            np.testing.assert_allclose(array(result), array(expected), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(array(result) == 0, array(expected) == 0)
    assert len(traces) == 1


@every_case
def test_configs_and_serialization_build_an_equal_constraint(case):
    constraint = build(case)
    config = constraint.get_config()
    assert type(constraint).from_config(config).get_config() == config
    assert case.arguments.items() <= config.items()
    assert eval(repr(constraint), vars(constraints)).get_config() == config
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(constraint)))
    weights = tensor(np.random.default_rng(0).normal(size=case.shape))
    for same in (keras.saving.deserialize_keras_object(saved), keras.constraints.get(saved)):
        assert type(same) is type(constraint)
        assert same.get_config() == config
        np.testing.assert_array_equal(array(same(weights)), array(constraint(weights)))


@by_class({c.name: c for c in CASES}.values())
@loop(step=[-1.0, np.nan])
def test_negative_steps_raise(case, step):
    with pytest.raises(ValueError, match=r"`step` must be a number >= 0.*Received: step="):
        build(case).project(tensor(np.ones(case.shape)), step)


@by_class({c.name: c for c in CASES}.values())
def test_steps_of_another_shape_raise(case):
    with pytest.raises(ValueError, match=r"`step` must be a scalar or.*Received: a step of shape"):
        build(case).project(tensor(np.ones(case.shape)), np.ones((7, *case.shape), "float32"))
