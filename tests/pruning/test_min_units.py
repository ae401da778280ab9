"""No layer is emptied unless that is asked for, and the inputs reach the outputs."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from tensors import array

import kerasreg
from kerasreg import patterns, schedules
from kerasreg.callbacks import Pruning

SILENT = {"print_fn": lambda text: None}


def scaled(model, scales):
    """Kernels of given scales, without biases."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        scale = next((s for name, s in scales.items() if f"/{name}/" in f"/{variable.path}"), 1.0)
        is_kernel = len(variable.shape) > 1
        variable.assign(rng.normal(size=variable.shape) * scale if is_kernel else variable.value)
    return model


def chain():
    names = ("a", "b", "c", "d")
    return keras.Sequential(
        [
            keras.Input((8,)),
            *(layers.Dense(24, name=name, use_bias=False) for name in names),
            layers.Dense(2, name="out", use_bias=False),
        ]
    )


def residual():
    x = keras.Input((8,))
    y = layers.Dense(16, name="a", use_bias=False)(x)
    z = layers.Dense(16, name="b", use_bias=False)(ops.relu(y))
    z = layers.Dense(16, name="c", use_bias=False)(z)
    return keras.Model(x, layers.Dense(2, name="out", use_bias=False)(y + z))


def convolution():
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(8, 3, name="a", use_bias=False)(x)
    y = layers.DepthwiseConv2D(3, name="b", use_bias=False)(y)
    y = layers.SeparableConv2D(8, 3, name="c", use_bias=False)(y)
    y = layers.Flatten()(layers.Conv2D(4, 1, name="d", use_bias=False)(y))
    return keras.Model(x, layers.Dense(2, name="out", use_bias=False)(y))


def two_outputs():
    x = keras.Input((8,))
    y = layers.Dense(16, name="a", use_bias=False)(x)
    first = layers.Dense(2, name="out", use_bias=False)(y)
    z = layers.Dense(16, name="b", use_bias=False)(y)
    return keras.Model(x, [first, layers.Dense(2, name="c", use_bias=False)(z)])


def is_constant(model):
    x = np.random.default_rng(1).normal(size=(64, *model.input_shape[1:])).astype("float32")
    found = [array(each) for each in keras.tree.flatten(model(x))]
    return [bool(np.ptp(each, axis=0).max() == 0) for each in found]


MODELS = {
    "chain": (chain, {"b": 1e-3, "c": 1e-3, "d": 1e-3}),
    "first and last": (chain, {"a": 1e-3, "out": 1e-3}),
    "residual": (residual, {"b": 1e-3, "c": 1e-3, "out": 1e-3}),
    "convolution": (convolution, {"b": 1e-3, "c": 1e-3, "d": 1e-3}),
    "two outputs": (two_outputs, {"b": 1e-3, "c": 1e-3}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_global_scope_leaves_no_layer_empty_and_no_output_constant(name):
    build, scales = MODELS[name]
    for pattern in ("unstructured", "unit", patterns.Block((2, 2))):
        sparsity = 0.6 if pattern == "unit" else 0.95
        model = scaled(build(), scales)
        size = sum(array(v).size for v in model.weights)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            plan = kerasreg.prune(model, sparsity, pattern=pattern, scope="global")
        assert all((array(v) != 0).any() for v in model.weights)
        assert not any(is_constant(model)), (name, pattern)
        if pattern == "unstructured":
            assert sum((array(v) == 0).sum() for v in model.weights) == round(sparsity * size)
            assert any("due to `min_units`" in (row.remark or "") for row in plan)
            assert any("pass `min_units=0`" in str(each.message) for each in found)
            model = scaled(build(), scales)
            kerasreg.prune(model, sparsity, pattern=pattern, scope="global", min_units=0)
            assert any((array(v) == 0).all() for v in model.weights)
        assert "`min_units`" in plan.note
        keras.backend.clear_session()


def test_a_value_of_attention_reaches_the_output_of_its_head():
    """Whatever queries and keys are: a value and what reads it are of one head."""
    for seed in range(3):
        x = keras.Input((5, 8))
        y = layers.MultiHeadAttention(4, 3)(x, x)
        model = keras.Model(x, layers.Dense(3, name="last")(y))
        rng = np.random.default_rng(seed)
        for v in model.weights:
            scale = 1e-3 if "value" in v.path or "output" in v.path else 1.0
            v.assign(rng.normal(size=v.shape) * (scale if len(v.shape) > 2 else 1.0))
        with pytest.warns(UserWarning, match="`min_units=0`"):
            kerasreg.prune(model, 0.9, scope="global")
        assert is_constant(model) == [False], seed
        keras.backend.clear_session()


def test_the_remaining_weights_of_two_layers_are_connected():
    """One weight of each stays, and the second reads what the first computes."""
    model = scaled(chain(), {})
    b, c = (model.get_layer(name).kernel for name in "bc")
    for kernel, best in ((b, (3, 5)), (c, (7, 9))):
        weights = np.full((24, 24), 1e-6)
        weights[best] = 1e-3
        kernel.assign(weights)
    with pytest.warns(UserWarning, match=r"leaves 1 unit of [\s\S]*keeps units of"):
        kerasreg.prune(model, 0.75, scope="global")
    assert (array(b) != 0).sum() == (array(c) != 0).sum() == 1
    assert is_constant(model) == [False]
    assert np.flatnonzero(array(b).any(axis=0)) == np.flatnonzero(array(c).any(axis=1))


def test_min_units_applies_in_training_and_in_a_plan():
    model = scaled(chain(), {"b": 1e-3, "c": 1e-3})
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    pruning = Pruning(schedules.Linear(0.9, end_step=6), scope="global")
    assert "at least 1 unit remains in every row: `min_units`" in str(
        pruning.plan(model, 8, **SILENT)
    )
    x = np.random.default_rng(2).normal(size=(32, 8))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(x, np.ones((32, 2)), 4, verbose=0, callbacks=[pruning])
    assert any("`Pruning` leaves 1 unit of" in str(each.message) for each in found)
    assert is_constant(model) == [False]
    assert pruning.sparsity == pytest.approx(0.9, abs=1e-3)


def test_rounding_empties_no_small_kernel():
    """Per layer, by rules and by shape; a sparsity of 1 is meant."""
    for scope, sparsity in (("layer", 0.9), ({"out": 0.9}, 0.5), ("erk", 0.995)):
        model = keras.Sequential(
            [keras.Input((6,)), layers.Dense(2, name="a"), layers.Dense(1, name="out")]
        )
        plan = Pruning(sparsity, scope=scope).plan(model, steps=100, **SILENT)
        assert plan["sequential/out/kernel"].pruned == 1
        assert "1 remains due to `min_units`" in plan["sequential/out/kernel"].remark
        with pytest.warns(UserWarning, match="leaves 1 unit of"):
            kerasreg.prune(model, sparsity, scope=scope)
        assert not any(is_constant(model))
        kerasreg.prune(model, sparsity, scope=scope, min_units=0)
        kerasreg.prune(model, 1.0)
        assert not any(array(v).any() for v in model.weights)
        keras.backend.clear_session()


def test_min_units_may_be_more_than_one():
    model = scaled(chain(), {"b": 1e-3})
    with pytest.warns(UserWarning, match="leaves 5 units of"):
        kerasreg.prune(model, 0.8, scope="global", min_units=5)
    assert (array(model.get_layer("b").kernel) != 0).sum() == 5


def test_existing_zeros_stay_without_a_warning():
    model = scaled(chain(), {"b": 0.0})
    kerasreg.prune(model, 0.5)
    assert not array(model.get_layer("b").kernel).any()


def test_a_gate_of_one_branch_does_not_close_another():
    """Every branch reads other units of the stream, which reaches the output all the same."""
    x = keras.Input((6, 6, 3))
    stream = layers.Conv2D(4, 1, name="stream", use_bias=False)(x)
    for name in "abcd":
        branch = layers.SeparableConv2D(4, 3, padding="same", use_bias=False, name=name)(stream)
        stream = layers.Add()([stream, branch])
    y = layers.GlobalAveragePooling2D()(stream)
    model = keras.Model(x, layers.Dense(2, name="out", use_bias=False)(y))
    for place, name in enumerate("abcd"):
        kernel = model.get_layer(name).depthwise_kernel
        kernel.assign(kernel * np.where(np.arange(4) == place, 1.0, 1e-3)[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plan = kerasreg.prune(model, 0.75, pattern="unit", include="depthwise")
    assert not any("due to `min_units`" in (row.remark or "") for row in plan)
    assert not any(is_constant(model))


def separable_first():
    """Depthwise kernels on the inputs of the model, which must stay."""
    x = keras.Input((8, 8, 4))
    y = layers.SeparableConv2D(8, 3, name="a", use_bias=False)(x)
    return keras.Model(x, layers.Conv2D(2, 1, name="out", use_bias=False)(y))


def depthwise_first():
    x = keras.Input((8, 8, 4))
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, name="a", use_bias=False)(x)
    y = layers.Conv2D(8, 1, name="b", use_bias=False)(y)
    return keras.Model(x, layers.Conv2D(2, 1, name="out", use_bias=False)(y))


def recurrent():
    """Without a candidate, the other gates of a unit let nothing through."""
    x = keras.Input((5, 8))
    y = layers.LSTM(6, return_sequences=True, use_bias=False, name="a")(x)
    y = layers.GRU(6, use_bias=False, name="b")(y)
    return keras.Model(x, layers.Dense(2, name="out", use_bias=False)(y))


@pytest.mark.parametrize("make", [separable_first, depthwise_first, recurrent])
@pytest.mark.filterwarnings("ignore")
def test_depthwise_filters_of_inputs_and_candidates_of_cells_remain(make):
    for amount, pattern in ((0.9, None), (0.98, None), (0.7, "input")):
        model = scaled(make(), {"a": 1e-3})
        pattern = {} if pattern is None else {"pattern": pattern}
        kerasreg.prune(model, amount, scope="global", **pattern)
        # The signs and sizes of the weights do not matter here.
        for variable in model.trainable_variables:
            variable.assign(np.abs(np.sign(array(variable))))
        x = np.random.default_rng(0).uniform(0.1, 1, (16, *model.input_shape[1:]))
        outputs = array(model(x, training=False))
        assert np.ptp(outputs, axis=0).max() > 0, (amount, pattern)
