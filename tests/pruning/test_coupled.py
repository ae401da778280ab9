"""Whole units of a model are pruned, and then go."""

import warnings

import keras
import numpy as np
import pytest
from couplings import connected, flat, outputs, residual
from keras import layers, ops
from precision import ROUNDING
from shrinkable import dense, randomize

import kerasreg
from kerasreg._graph.rules.base import is_elementwise
from kerasreg.patterns import Coupled


def widths(model):
    return {group.name.split("/")[-1]: group.units for group in kerasreg.coupled_groups(model)}


@pytest.mark.parametrize(
    ("build", "pattern", "expected"),
    [
        (residual, "coupled", {"stem": 4, "a1": 6, "b1": 6}),
        (residual, Coupled(round_to=4), {"stem": 4, "a1": 4, "b1": 4}),
        (residual, Coupled(min_units=5), {"stem": 5, "a1": 6, "b1": 6}),
        (residual, Coupled(round_to=4, min_units=5), {"stem": 8, "a1": 8, "b1": 8}),
        (connected, "coupled", {"stem": 3, "a": 2, "b": 2}),
        (flat, "coupled", {"a": 4}),
        (dense, "coupled", {"a": 4, "b": 2}),
        (dense, Coupled(round_to=16), {"a": 8, "b": 5}),
    ],
)
def test_shrink_removes_exactly_the_pruned_units(widest, build, pattern, expected):
    model = build()
    plan = kerasreg.prune(model, 0.5, pattern=pattern)
    small, report = kerasreg.shrink(model)
    assert widths(small) == expected
    assert {row.path.split("/")[-1]: row.units - row.pruned for row in plan} == expected
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=0, atol=ROUNDING)
    assert outputs(model).std() > 1e-3
    assert report.difference < ROUNDING


def test_all_weights_of_a_pruned_unit_are_zero():
    model = residual()
    before = [np.array(each) for each in model.non_trainable_variables]
    kerasreg.prune(model, 0.25, pattern="coupled")
    for group in kerasreg.coupled_groups(model):
        rows = group.gather()
        dead = (rows == 0).all(axis=1)
        assert dead.sum() == group.units // 4
        for each in group.weights:
            value = np.asarray(ops.convert_to_numpy(each.variable))
            assert (each.gather(value)[dead] == 0).all()
    for now, then in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_weakest_units_are_pruned():
    """The score of a unit is the root of the mean square of all of its weights."""
    model = residual()
    expected = {}
    for group in kerasreg.coupled_groups(model):
        strength = np.square(group.gather()).mean(axis=1)
        expected[group.name] = np.sort(np.argsort(strength)[: group.units // 2])
    kerasreg.prune(model, 0.5, pattern="coupled")
    for group in kerasreg.coupled_groups(model):
        dead = np.flatnonzero((group.gather() == 0).all(axis=1))
        np.testing.assert_array_equal(dead, expected[group.name])


def test_the_global_scope_prunes_the_weakest_units_of_all_widths():
    model = residual()
    group = kerasreg.coupled_groups(model)["a1"]
    group.scatter(0.01 * group.gather())
    plan = kerasreg.prune(model, 0.3, pattern=Coupled(min_units=2), scope="global")
    # They all would go.
    assert {row.path: row.pruned for row in plan}["a1"] == 10
    total = sum(row.weights for row in plan)
    assert abs(plan.sparsity * total - 0.3 * total) <= max(row.shape[1] for row in plan)


def test_a_dict_scope_matches_paths():
    model = residual()
    scope = {"[ab]1/kernel": 0.75, "b2": 0.25}
    plan = kerasreg.prune(model, 0.5, pattern="coupled", scope=scope)
    assert {row.path: row.pruned for row in plan} == {"stem": 2, "a1": 9, "b1": 9}


@pytest.mark.parametrize(
    ("arguments", "skipped"),
    [
        ({"exclude": "b2"}, {"stem": "`exclude` matches it"}),
        ({"include": "1/"}, {"stem": "`include` does not match it"}),
    ],
)
def test_include_and_exclude_select_widths(arguments, skipped):
    model = residual()
    plan = kerasreg.prune(model, 0.5, pattern="coupled", **arguments)
    assert plan.skipped == {"head/bias": "an output of the model", **skipped}
    small, _ = kerasreg.shrink(model)
    assert widths(small) == {"stem": 8, "a1": 6, "b1": 6}


def test_frozen_layers_keep_their_units():
    model = residual()
    model.get_layer("a2_norm").trainable = False
    plan = kerasreg.prune(model, 0.5, pattern="coupled")
    assert plan.skipped["stem"] == "'a2_norm/gamma' is not trainable"
    assert [row.path for row in plan] == ["a1", "b1"]


def test_a_unit_that_is_zero_on_one_side_counts_as_pruned():
    model = dense()
    kernel = model.get_layer("a").kernel
    kernel.assign(np.where(np.arange(8) < 3, 0, ops.convert_to_numpy(kernel)))
    bias = model.get_layer("a").bias
    bias.assign(np.where(np.arange(8) < 3, 0, ops.convert_to_numpy(bias)))
    plan = kerasreg.prune(model, 0.5, pattern=Coupled(round_to=2), include="/a/")
    assert plan["dense/a"].pruned == 4
    dead = (kerasreg.coupled_groups(model)[0].gather() == 0).all(axis=1)
    assert dead[:3].all()


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("score", ["magnitude", "taylor", "random"])
def test_units_are_pruned_during_training(score, hold):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8, 8, 3)).astype("float32"), rng.integers(0, 5, 32)
    model = residual()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    schedule = kerasreg.schedules.Polynomial(0.5, begin_step=2, end_step=9, frequency=3)
    pattern = Coupled(round_to=2)
    pruning = kerasreg.callbacks.Pruning(schedule, pattern=pattern, score=score, hold=hold)
    plan = pruning.plan(model, steps=12, print_fn=lambda text: None)
    assert plan["a1"].pruned == 6
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[pruning])
    assert list(pruning.pruned.values())[-1] == 0.5
    for group in kerasreg.coupled_groups(model):
        dead = (group.gather() == 0).all(axis=1)
        assert dead.sum() == group.units // 2
        assert (group.gather()[~dead] != 0).any(axis=1).all()
    small, report = kerasreg.shrink(model)
    assert widths(small) == {"stem": 4, "a1": 6, "b1": 6}
    assert report.difference < 1e-4


def test_a_width_that_is_too_small_is_not_pruned():
    x = keras.Input((3,))
    y = layers.Dense(6, name="b")(layers.Dense(1, name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    plan = kerasreg.prune(model, 0.5, pattern="coupled")
    assert plan["a"].pruned == 0
    assert plan["a"].remark == "1 units are too few to prune any"
    assert plan["b"].pruned == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "erk"}, "depends on the shape of each variable"),
        ({"include": "nothing"}, "must be found in the path"),
        ({"exclude": "a|b|stem"}, "finds nothing to prune"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        kerasreg.prune(residual(), 0.5, pattern="coupled", **arguments)


def test_an_invalid_pattern_raises():
    with pytest.raises(ValueError, match="`round_to` must be an int"):
        Coupled(round_to=0)
    with pytest.raises(ValueError, match=r"has none\. Remove `regrow`"):
        kerasreg.callbacks.Pruning(0.5, pattern="coupled", regrow="random")


def test_a_softmax_activation_gives_no_warning():
    """Keras warns of a softmax over an axis of size 1, which these models do not have."""
    is_elementwise.cache_clear()
    inputs, sequences = keras.Input((4,)), keras.Input((5, 4))
    hidden = layers.Dense(6, activation="relu")(inputs)
    behind = layers.Activation("softmax")(layers.Dense(3)(hidden))
    recurrent = layers.SimpleRNN(6, activation="softmax")(layers.Dense(6)(sequences))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        plan = kerasreg.prune(keras.Model(inputs, behind), 0.5, pattern="coupled")
        kerasreg.shrink(keras.Model(sequences, layers.Dense(2)(recurrent)))
    assert [each for each in found if "softmax" in str(each.message)] == []
    assert [row.pruned for row in plan] == [3]
