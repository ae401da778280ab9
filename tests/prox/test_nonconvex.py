"""Proximal operators of nonconvex penalties, for every step and close to the threshold."""

import needs
import numpy as np
import pytest
from cases import CASES
from tensors import BACKEND, array, compiled, tensor

from kerasreg import _prox as operators
from kerasreg import regularizers

NAMES = ["CappedL1", "L0", "LogSum", "Lp", "MCP", "SCAD", "TransformedL1"]
every_case = pytest.mark.parametrize("case", [c for c in CASES if c.name in NAMES], ids=str)
EXACT = "float32" if BACKEND == "jax" else "float64"
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}
STEPS = [0.0, 1e-12, 1e-4, 0.01, 0.3, 0.99, 1.0, 1.1, 2.7, 3.0, 4.0, 6.0, 29.0, 32.0, 1e3, 1e8]


def objective(case, x, z, t):
    """Returns `t penalty(x) + (x - z)^2 / 2` of each weight."""
    penalty = np.reshape([case.value(each) for each in x.ravel()], x.shape)
    return t * penalty + (x - z) ** 2 / 2


def close_calls(case, t, rng):
    """Returns weights of all sizes, most of them near the threshold of the prox."""
    threshold = 1 / np.maximum(case.margin(np.ones(1), np.full(1, max(t, 1e-12))), 1e-300)
    away = 10.0 ** rng.uniform(-7, 0, 60) * rng.choice([-1, 1], 60)
    near = threshold * (1 + 0.9 * away)
    return rng.choice([-1, 1], 100) * np.append(near, 10.0 ** rng.uniform(-6, 4, 40))


@every_case
@pytest.mark.parametrize("dtype", sorted({"float32", EXACT}))
def test_no_better_point_than_the_prox(case, dtype):
    rng = np.random.default_rng(0)
    penalty = getattr(regularizers, case.name)(**case.arguments)
    for t in STEPS:
        z = array(tensor(close_calls(case, t, rng), dtype))
        step = array(tensor(t, dtype))
        x = array(penalty.prox(tensor(z, dtype), tensor(t, dtype)))
        # Rounding is relative to `z^2 / 2`, the objective at zero.
        excess = objective(case, x, z, step) - objective(case, case.prox(z, step), z, step)
        assert (excess <= 8 * EPSILON[dtype] * z**2).all()


@every_case
def test_an_infinite_step_makes_finite_weights_zero(case):
    penalty = getattr(regularizers, case.name)(**case.arguments)
    z = np.array([0.0, 1e-30, -1.0, 1e20, -1e30])
    x = array(penalty.prox(tensor(z), tensor(np.inf)))
    np.testing.assert_array_equal(x, 0.0)
    assert not np.signbit(x).any()
    x = array(penalty.prox(tensor([np.inf, -np.inf, np.nan]), tensor(np.inf)))
    assert not np.isfinite(x).any()


@every_case
def test_the_prox_is_monotone_and_odd(case):
    penalty = getattr(regularizers, case.name)(**case.arguments)
    z = np.linspace(0, 12, 4001)
    for t in STEPS:
        x = array(penalty.prox(tensor(z, EXACT), tensor(t, EXACT)))
        assert (np.diff(x) >= -1e-5).all()
        np.testing.assert_array_equal(array(penalty.prox(tensor(-z, EXACT), t)), -x)


@needs.COMPILATION
@every_case
def test_compiled_and_eager_zeros_are_equal(case):
    rng = np.random.default_rng(0)
    penalty = getattr(regularizers, case.name)(**case.arguments)
    z = rng.normal(size=2000) * rng.choice([0, 1e-20, 1e-3, 1, 1e20], 2000)
    t = 10.0 ** rng.uniform(-12, 8, 2000)
    prox, _ = compiled(penalty.prox)
    under_xla, eager = array(prox(tensor(z), tensor(t))), array(penalty.prox(tensor(z), tensor(t)))
    np.testing.assert_array_equal(under_xla == 0, eager == 0)
    # Rounding is relative to the weight before the prox, which can be much larger.
    assert (abs(under_xla - eager) <= 1e-6 * abs(z)).all()


def test_hard_threshold_equals_its_formula():
    z = np.array([3.0, -3.0, 2.0, -2.0, 0.5, 0.0])
    x = array(operators.hard_threshold(tensor(z), tensor(2.0)))
    np.testing.assert_array_equal(x, [3.0, -3.0, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("p", "kept", "threshold"),
    [
        # Xu et al. (2012), in their scaling: 54^(1/3) / 4 (2 T)^(2/3).
        (1 / 2, 2 / 3, lambda t: 54 ** (1 / 3) / 4 * (2 * t) ** (2 / 3)),
        # Cao et al. (2013): 2/3 (3 (2 T)^3)^(1/4).
        (2 / 3, 1 / 2, lambda t: 2 / 3 * (3 * (2 * t) ** 3) ** (1 / 4)),
    ],
)
def test_lp_jumps_where_the_papers_say(p, kept, threshold):
    t = 10.0 ** np.arange(-6, 7)
    z = threshold(t)
    below = array(operators.lp_threshold(tensor(z * (1 - 1e-6)), tensor(t), p))
    above = array(operators.lp_threshold(tensor(z * (1 + 1e-6)), tensor(t), p))
    np.testing.assert_array_equal(below, 0.0)
    np.testing.assert_allclose(above, kept * z, rtol=1e-5)


@pytest.mark.parametrize("p", [1 / 2, 2 / 3])
def test_lp_agrees_with_the_trigonometric_forms(p):
    rng = np.random.default_rng(0)
    t, z = 10.0 ** rng.uniform(-3, 3, 500), 10.0 ** rng.uniform(-3, 5, 500)
    with np.errstate(invalid="ignore"):
        if p == 1 / 2:
            angle = np.arccos(t / 4 * (z / 3) ** -1.5)
            expected = 2 / 3 * z * (1 + np.cos(2 * np.pi / 3 - 2 / 3 * angle))
        else:
            angle = np.arccosh(27 / 16 * z**2 * (2 * t) ** -1.5)
            a = 2 / np.sqrt(3) * (2 * t) ** 0.25 * np.sqrt(np.cosh(angle / 3))
            expected = ((a + np.sqrt(2 * z / a - a**2)) / 2) ** 3
    x = array(operators.lp_threshold(tensor(z, EXACT), tensor(t, EXACT), p))
    assert 100 < (x > 0).sum() < 500
    np.testing.assert_allclose(x[x > 0], expected[x > 0], rtol=64 * EPSILON[EXACT])


def test_mcp_and_scad_keep_large_weights():
    z = np.array([0.91, -5.0, 1e20])
    for t in (1e-3, 1.0, 2.69, 2.99):
        np.testing.assert_array_equal(
            array(operators.mcp_threshold(tensor(z), tensor(t), 0.3, 3.0)), array(tensor(z))
        )
    for t in (1e-3, 1.0, 1.99):
        np.testing.assert_array_equal(
            array(operators.scad_threshold(tensor(z), tensor(t), 0.3, 3.0)), array(tensor(z))
        )
