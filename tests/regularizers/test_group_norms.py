"""Penalties of groups by other norms: special cases and optimality."""

import keras
import numpy as np
import pytest
from tensors import array, tensor

from kerasreg._prox import exclusive_threshold, group_clip
from kerasreg.regularizers import (
    L0,
    L1,
    MCP,
    SCAD,
    ExclusiveLasso,
    GroupL0,
    GroupLasso,
    GroupMCP,
    GroupSCAD,
    LInfinity1,
)


@pytest.mark.parametrize("step", [0.0, 0.5, 3.0, "per group"])
@pytest.mark.parametrize(
    ("one", "same"),
    [
        (GroupMCP(0.3, gamma=1e8, axis=-1), GroupLasso(0.3, axis=-1)),
        (GroupSCAD(0.3, a=1e8, axis=-1), GroupLasso(0.3, axis=-1)),
        (GroupMCP(0.3, gamma=2.0, axis=(0, 1)), MCP(0.3, gamma=2.0)),
        (GroupSCAD(0.3, a=3.0, axis=(0, 1)), SCAD(0.3, a=3.0)),
        (GroupL0(0.3, axis=(0, 1)), L0(0.3)),
        (LInfinity1(0.3, axis=(0, 1)), L1(0.3)),
    ],
    ids=repr,
)
def test_special_cases_equal_simpler_penalties(one, same, step):
    rng = np.random.default_rng(0)
    weights = tensor(rng.normal(size=(4, 6)))
    step = tensor(rng.uniform(0, 5, (1, 6))) if step == "per group" else step
    np.testing.assert_allclose(array(one(weights)), array(same(weights)), rtol=1e-6)
    np.testing.assert_allclose(
        array(one.prox(weights, step)), array(same.prox(weights, step)), rtol=1e-5, atol=1e-6
    )


def test_the_prox_of_many_weights_is_optimal():
    """Checks the optimality conditions of clipped groups and of the exclusive lasso."""
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(3000, 5)), 10.0 ** rng.uniform(-3, 1, (3000, 5))
    threshold = t * np.sum(abs(z) / t, axis=0) / 10.0 ** rng.uniform(0.1, 2, 5)
    x = array(group_clip(tensor(z), tensor(threshold), (0,)))
    clipped = np.sum((abs(z) - abs(x)) / threshold, axis=0)
    np.testing.assert_allclose(clipped, 1.0, rtol=1e-4)
    largest = abs(x).max(axis=0)
    for level, group in zip(largest, np.moveaxis(np.stack([x, z]), 2, 0), strict=True):
        changed = abs(group[1]) > level * (1 + 1e-6)
        np.testing.assert_array_equal(abs(group[0][changed]), level)
    x = array(exclusive_threshold(tensor(z), tensor(t), (0,)))
    total = np.sum(abs(x), axis=0)
    expected = np.sign(z) * np.maximum(abs(z) - 2 * t * total, 0)
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_linfinity1_makes_groups_zero_and_exclusive_lasso_does_not():
    z = tensor(np.random.default_rng(0).normal(size=(4, 6)))
    assert (array(LInfinity1(1e3).prox(z, 1.0)) == 0).all()
    assert (array(GroupL0(1e3).prox(z, 1.0)) == 0).all()
    x = array(ExclusiveLasso(1e3).prox(z, 1.0))
    np.testing.assert_array_equal(np.count_nonzero(x, axis=0), 1)


@pytest.mark.parametrize("penalty", [GroupMCP(0.3), GroupSCAD(0.3)], ids=repr)
def test_large_groups_are_not_shrunk(penalty):
    z = tensor(10 + np.random.default_rng(0).uniform(size=(4, 6)))
    for step in (0.1, 10.0):
        np.testing.assert_array_equal(array(penalty.prox(z, step)), array(z))


@pytest.mark.parametrize("gates", [1, 3])
def test_common_step_gives_one_step_per_group(gates):
    penalty = GroupMCP(0.3, axis=-1, gates=gates)
    step = tensor(np.random.default_rng(0).uniform(size=(4, 6)))
    common = penalty.common_step(step, (4, 6))
    assert tuple(common.shape) == penalty.step_shape((4, 6))
    expanded = array(penalty.expand_step(common, (4, 6))).reshape(4, gates, 6 // gates)
    np.testing.assert_array_equal(expanded, np.broadcast_to(expanded[:1, :1], expanded.shape))
    assert penalty.common_step(common, (4, 6)) is common


@pytest.mark.parametrize(("penalty", "name"), [(GroupMCP, "gamma"), (GroupSCAD, "a")])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan, "3", None, True])
def test_shape_parameters_out_of_range_raise(penalty, name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be a finite number above.*{name}="):
        penalty(**{name: value})


@pytest.mark.parametrize("penalty", [LInfinity1, ExclusiveLasso, GroupL0, GroupMCP, GroupSCAD])
def test_invalid_factors_and_axes_raise(penalty):
    with pytest.raises(ValueError, match=r"`factor` must be a finite number of at least 0"):
        penalty(-1.0)
    with pytest.raises(ValueError, match=r"different axes.*shape \(2, 3\) are \[0, 1\]"):
        penalty(axis=2).prox(tensor(np.ones((2, 3))), 0.1)
    layer = keras.layers.Dense(3, kernel_regularizer=penalty(axis="output"))
    with pytest.raises(ValueError, match=r"only `kerasreg.attach` can translate"):
        keras.Sequential([keras.Input((2,)), layer]).losses  # noqa: B018
