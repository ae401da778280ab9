"""Training with every penalty and constraint ends at a fixed point of its prox.

At a minimum of `loss + penalty`, a step of gradient descent followed by the prox returns the same
weights, for any small step. This check does not depend on the optimizer that found them.
"""

import keras
import numpy as np
import pytest
from problems import decorrelated, trained_together

from kerasreg import constraints as c
from kerasreg import regularizers as r

REFERENCE = np.linspace(-0.3, 0.3, 30).reshape(10, 3)
PENALTIES = [
    r.L1(0.07), r.L2(0.1), r.L1L2(0.05, 0.05), r.NonNegativeL1(0.03),
    r.L0(0.01), r.MCP(0.07), r.SCAD(0.07), r.Lp(0.03, p=0.5), r.Lp(0.03, p=2 / 3),
    r.LogSum(0.02, epsilon=0.5), r.CappedL1(0.07, theta=0.3), r.TransformedL1(0.05),
    r.GroupLasso(0.1, axis=0), r.SparseGroupLasso(0.1, axis=0),
    r.LInfinity1(0.1, axis=0), r.ExclusiveLasso(0.1, axis=-1),
    r.GroupL0(0.02, axis=0), r.GroupMCP(0.07, axis=0), r.GroupSCAD(0.07, axis=0),
    r.TotalVariation(0.05), r.FusedLasso(0.07), r.SLOPE(0.1), r.NuclearNorm(0.2), r.Rank(0.05),
    r.L1SP(0.07, REFERENCE), r.L2SP(0.1, REFERENCE), r.WeightedL1(0.05, weights=1 + abs(REFERENCE)),
]  # fmt: skip
CONSTRAINTS = [
    c.Box(-0.1, 0.15), c.Simplex(axis=0), c.L1Ball(0.6), c.L2Ball(0.2, axis=0), c.KSparse(12),
    c.KSparse(sparsity=0.7, axis=0),
]  # fmt: skip
#: A minimum of these is a fixed point only for steps no longer than those of the optimizer.
NOT_CONVEX = (r.L0, r.Lp, c.KSparse, r.Rank, r.GroupL0)
STEPS = (0.001, 0.01)
#: The prox of these is a loop.
LOOPS = (r.TotalVariation, r.FusedLasso, r.SLOPE)
OPTIMIZERS = {
    "SGD": (lambda: keras.optimizers.SGD(0.2, momentum=0.5), 50),
    "Adam": (
        lambda: keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(0.05, 110, 0.3), epsilon=1e-3
        ),
        450,
    ),
}
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def test_the_lists_contain_every_public_penalty_and_constraint():
    names = [name for name in r.__all__ if name != "Regularizer"]
    with_prox = {name for name in names if issubclass(getattr(r, name), r.Regularizer)}
    assert {type(penalty).__name__ for penalty in PENALTIES} == with_prox
    names = set(c.__all__) - {"Projection"}
    assert {type(constraint).__name__ for constraint in CONSTRAINTS} == names


def trained(optimizer, **arguments):
    """Returns a trained kernel for each value of an argument of `Dense`."""
    ((name, values),) = arguments.items()
    layers = [keras.layers.Dense(3, use_bias=False, **{name: value}) for value in values]
    make, steps = OPTIMIZERS[optimizer]
    return trained_together(*decorrelated(), layers, make(), steps)


def after_one_more_step(w, prox, step):
    x, y = decorrelated()
    gradient = 2 * x.astype("float64").T @ (x @ w.astype("float64") - y) / y.size
    new = prox((w - step * gradient).astype("float32"), step)
    return np.asarray(keras.ops.convert_to_numpy(new))


def assert_fixed_point(w, what, prox):
    for step in STEPS if type(what) in NOT_CONVEX else (*STEPS, 0.3):
        again = after_one_more_step(w, prox, step)
        np.testing.assert_allclose(again, w, atol=1e-3 * step, err_msg=repr(what))


@every_optimizer
def test_training_with_a_penalty_ends_at_a_fixed_point_of_its_prox(optimizer):
    penalties = PENALTIES
    if keras.backend.backend() == "torch" and optimizer == "Adam":
        # Too slow without compilation.
        penalties = [penalty for penalty in PENALTIES if not isinstance(penalty, LOOPS)]
    for penalty, w in zip(penalties, trained(optimizer, kernel_regularizer=penalties), strict=True):
        assert np.isfinite(w).all(), penalty
        assert not np.all(w == 0), penalty
        assert_fixed_point(w, penalty, penalty.prox)


@every_optimizer
def test_training_with_a_constraint_ends_at_a_fixed_point_of_its_projection(optimizer):
    found = trained(optimizer, kernel_constraint=CONSTRAINTS)
    for constraint, w in zip(CONSTRAINTS, found, strict=True):
        assert_fixed_point(w, constraint, constraint.project)


class Doubled(r.GroupLasso):
    """A penalty that overrides the prox of its base class."""

    def _value(self, weights):
        return 2 * super()._value(weights)

    def _prox(self, weights, step):
        return super()._prox(weights, 2 * step)


@every_optimizer
def test_a_subclass_trains_with_the_prox_that_it_overrides(optimizer):
    same = r.GroupLasso(0.1, axis=0)
    own, expected = trained(optimizer, kernel_regularizer=[Doubled(0.05, axis=0), same])
    assert_fixed_point(own, same, same.prox)
    assert (expected == 0).any()
    np.testing.assert_array_equal(own == 0, expected == 0)
