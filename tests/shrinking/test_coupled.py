"""Coupled groups of units: their members, and their removal by `shrink`."""

import keras
import numpy as np
import pytest
from couplings import connected, flat, outputs, residual
from keras import layers, ops
from precision import ROUNDING
from shrinkable import CASES, dense, randomize

import kerasreg


def test_the_branches_of_a_residual_network_are_one_group():
    groups = kerasreg.coupled_groups(residual())
    assert [(group.name, group.units) for group in groups] == [("stem", 8), ("a1", 12), ("b1", 12)]
    stream, inner = groups["stem"], groups["a1"]
    assert [each.path for each in stream.producers] == [
        *("stem/kernel", "norm/gamma", "norm/beta", "a2/kernel", "a2_norm/gamma"),
        *("a2_norm/beta", "b2/kernel", "b2_norm/gamma", "b2_norm/beta"),
    ]
    assert [each.path for each in stream.consumers] == ["a1/kernel", "b1/kernel", "head/kernel"]
    # Kernels, then four numbers of each normalization.
    assert stream.parameters == 27 + 2 * 108 + 2 * 108 + 5 + 3 * 4
    assert inner.parameters == 72 + 72 + 4
    assert [each.path for each in inner.members if each.role == "passive"] == [
        *("a1_norm/moving_mean", "a1_norm/moving_variance"),
    ]
    assert groups.pinned == {"head/bias": "an output of the model"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_shrink_keeps_the_outputs_for_any_zeroed_units_of_any_group(widest, case):
    """Zeros in all weights of a unit, in its producers, in its consumers, or in kernels only."""
    model, _ = case()
    rng = np.random.default_rng(len(model.weights))
    before = model.count_params()
    for group in kerasreg.coupled_groups(model):
        units = rng.permutation(group.units)[: group.units // 2]
        kernels = [each for each in group.producers if len(each.variable.shape) > 1]
        sides = [
            side for side in (group.weights, group.producers, group.consumers, kernels) if side
        ]
        for member in sides[rng.integers(len(sides))]:
            value = np.array(ops.convert_to_numpy(member.variable))
            member.variable.assign(np.where(member.mask(units), 0, value))
    # `shrink` compares the outputs.
    small, report = kerasreg.shrink(model)
    assert small.count_params() <= before
    assert report.difference <= ROUNDING
    again, _ = kerasreg.shrink(small)
    assert again.count_params() == small.count_params()


def test_each_input_of_a_concatenation_is_a_group():
    groups = kerasreg.coupled_groups(connected())
    assert [(group.name, group.units) for group in groups] == [("stem", 6), ("a", 4), ("b", 4)]
    assert [len(group.consumers) for group in groups] == [3, 2, 1]
    last = groups["b"].consumers[0]
    np.testing.assert_array_equal(last.indices, np.arange(10, 14)[:, None])


def test_a_unit_can_have_several_indices_in_a_kernel():
    (group,) = kerasreg.coupled_groups(flat())
    assert [each.indices.shape for each in group.members] == [
        *((8, 1), (8, 1), (8, 1), (8, 2), (8, 18)),
    ]
    assert [each.role for each in group.members] == [*["producer"] * 4, "consumer"]
    assert group.parameters == 18 + 1 + 2 + 2 + 18 * 4


def test_a_kernel_can_be_consumer_and_producer_of_one_group():
    x = keras.Input((3,))
    y = layers.Dense(6, name="a")(x)
    y = layers.Add()([y, layers.Dense(6, name="b")(y)])
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    (group,) = kerasreg.coupled_groups(model)
    of_b = [(each.axis, each.role) for each in group.members if each.path == "b/kernel"]
    assert sorted(of_b) == [(0, "consumer"), (1, "producer")]
    # A unit has a row and a column of the kernel, which share one weight.
    assert group.parameters == (3 + 1) + (11 + 1) + 2


@pytest.mark.parametrize("build", [dense, residual, connected, flat])
def test_zeroed_units_are_removed_with_all_their_parameters(widest, build):
    """Nothing else is removed, and no moving statistic changes."""
    for number in range(len(kerasreg.coupled_groups(build()))):
        model = build()
        group = kerasreg.coupled_groups(model)[number]
        statistics = [np.array(v) for v in model.non_trainable_variables]
        group.zero([0, 2])
        for variable, before in zip(model.non_trainable_variables, statistics, strict=True):
            np.testing.assert_array_equal(variable, before)
        rows = group.gather()
        assert np.flatnonzero((rows == 0).all(axis=1)).tolist() == [0, 2]
        small, report = kerasreg.shrink(model)
        assert kerasreg.coupled_groups(small)[number].units == group.units - 2
        assert report.difference < ROUNDING
        assert outputs(small).std() > 1e-3
        assert model.count_params() - small.count_params() == 2 * group.parameters


@pytest.mark.parametrize("build", [residual, connected, flat])
def test_scatter_is_the_inverse_of_gather(build):
    model = build()
    for group in kerasreg.coupled_groups(model):
        before = model.get_weights()
        rows = group.gather()
        assert rows.shape == (group.units, sum(each.size for each in group.weights))
        group.scatter(rows[::-1])
        np.testing.assert_array_equal(group.gather(), rows[::-1])
        group.scatter(rows)
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)
        for each in group.members:
            array = np.asarray(ops.convert_to_numpy(each.variable))
            tensor = ops.convert_to_tensor(each.variable)
            gathered = ops.convert_to_numpy(each.gather(tensor))
            np.testing.assert_array_equal(gathered, each.gather(array))
            changed = 2 * each.gather(array)
            np.testing.assert_array_equal(
                ops.convert_to_numpy(each.scatter(tensor, ops.convert_to_tensor(changed))),
                each.scatter(array, changed),
            )
            np.testing.assert_array_equal(each.gather(each.scatter(array, changed)), changed)


def test_permuting_the_units_of_a_group_keeps_the_outputs(widest):
    """This holds only if a group contains every weight of its units."""
    model = residual()
    before = outputs(model)
    for group in kerasreg.coupled_groups(model):
        order = np.random.default_rng(0).permutation(group.units)
        for each in group.members:
            value = np.asarray(ops.convert_to_numpy(each.variable))
            each.variable.assign(each.scatter(value, each.gather(value)[order]))
    np.testing.assert_allclose(outputs(model), before, atol=ROUNDING)


def test_print_shows_groups_and_pinned_variables():
    lines = []
    kerasreg.coupled_groups(flat()).print(print_fn=lines.append)
    assert "Coupled groups of flat" in lines[0]
    assert "flat/a/kernel, flat/a/bias, flat/deep/kernel, flat/deep/bias" in lines[0]
    assert "not removable: flat/b/bias: an output of the model" in lines[0]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def test_a_subclassed_model_is_rejected():
    model = Subclassed()
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"needs a Functional or Sequential.*Subclassed"):
        kerasreg.coupled_groups(model)


def test_a_bias_of_size_one_is_pinned():
    """It has no axis of units. Other layers keep their groups."""
    x = keras.Input((4, 6))
    y = layers.EinsumDense("abc,cd->abd", (4, 1), bias_axes="d", name="one")(x)
    y = layers.Dense(8, name="wide")(y)
    groups = kerasreg.coupled_groups(keras.Model(x, layers.Dense(2)(y)))
    assert "wide" in [group.name for group in groups]
    assert "one/bias" in groups.pinned
