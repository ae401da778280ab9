"""Every penalty and constraint, whatever the optimizer: training ends where its prox says.

At a minimum of `loss + penalty`, a step of gradient descent and the prox lead back to the same
weights, for any small step. That says nothing of the optimizer that found them.
"""

import keras
import numpy as np
import pytest
from problems import compile_fast, decorrelated, kernel, linear, train

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
    c.Box(-0.1, 0.15), c.Simplex(axis=-1), c.L1Ball(0.6), c.L2Ball(0.2, axis=-1), c.KSparse(12),
    c.KSparse(sparsity=0.7, axis=-1),
]  # fmt: skip
#: A minimum of these stays where it is for steps that are not longer than the optimizer's.
NOT_CONVEX = (r.L0, r.Lp, c.KSparse, r.Rank, r.GroupL0)
STEPS = (0.001, 0.01)
#: The prox of these is a loop.
LOOPS = (r.TotalVariation, r.FusedLasso, r.SLOPE)
OPTIMIZERS = {
    "SGD": (lambda: keras.optimizers.SGD(0.2, momentum=0.5), 100),
    "Adam": (
        lambda: keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(0.05, 150, 0.3), epsilon=1e-3
        ),
        600,
    ),
}
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def test_none_is_missing():
    names = [name for name in r.__all__ if name != "Regularizer"]
    with_prox = {name for name in names if issubclass(getattr(r, name), r.Regularizer)}
    assert {type(penalty).__name__ for penalty in PENALTIES} == with_prox
    names = set(c.__all__) - {"Projection"}
    assert {type(constraint).__name__ for constraint in CONSTRAINTS} == names


def trained(optimizer, **kwargs):
    x, y = decorrelated()
    model = linear(10, kwargs.pop("regularizer", None), 3, **kwargs)
    make, steps = OPTIMIZERS[optimizer]
    compile_fast(model, make(), "mse")
    train(model, x, y, steps)
    return kernel(model)


def after_one_more_step(w, prox, step):
    x, y = decorrelated()
    gradient = 2 * x.astype("float64").T @ (x @ w.astype("float64") - y) / y.size
    new = prox((w - step * gradient).astype("float32"), step)
    return np.asarray(keras.ops.convert_to_numpy(new))


@every_optimizer
@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda each: type(each).__name__)
def test_penalties(penalty, optimizer):
    if keras.backend.backend() == "torch" and optimizer == "Adam" and isinstance(penalty, LOOPS):
        pytest.skip("too slow without compilation")
    w = trained(optimizer, regularizer=penalty)
    assert np.isfinite(w).all()
    for step in STEPS if type(penalty) in NOT_CONVEX else (*STEPS, 0.3):
        np.testing.assert_allclose(after_one_more_step(w, penalty.prox, step), w, atol=1e-3 * step)
    assert not np.all(w == 0)


@every_optimizer
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_constraints(constraint, optimizer):
    w = trained(optimizer, kernel_constraint=constraint)
    for step in STEPS if type(constraint) in NOT_CONVEX else (*STEPS, 0.3):
        np.testing.assert_allclose(
            after_one_more_step(w, constraint.project, step), w, atol=1e-3 * step
        )
