"""Prune what has zeros, adapters or another dtype already; rewind; and the plan in print."""

import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg import patterns
from kerasreg.callbacks import Pruning


def array(variable):
    return keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))


def zeros(variable):
    return int(np.sum(array(variable) == 0))


def kernels(model):
    return [layer.kernel for layer in model.layers]


def dense(*units, inputs=8, **kwargs):
    stack = [layers.Dense(n, name="abc"[i], **kwargs) for i, n in enumerate(units)]
    return keras.Sequential([keras.Input((inputs,)), *stack], name="net")


WAYS = {
    "layer": {},
    "global": {"scope": "global"},
    "erk": {"scope": "erk"},
    "rules": {"scope": {"a/": 0.9}},
    "units": {"pattern": "unit"},
    "inputs, global": {"pattern": patterns.Group("input"), "scope": "global"},
    "blocks": {"pattern": patterns.Block((3, 4))},
    "blocks, global": {"pattern": patterns.Block((3, 4), pooling="max"), "scope": "global"},
    "random": {"score": "random"},
}


@pytest.mark.parametrize("way", WAYS)
def test_pruning_again_changes_nothing_and_pruning_more_keeps_the_zeros(way):
    model = dense(12, 10, 7)
    dead = [np.zeros(variable.shape, bool) for variable in kernels(model)]
    for sparsity, is_more in ((0.4, True), (0.4, False), (0.7, True), (0.2, False)):
        before = dead
        kerasreg.prune(model, sparsity, min_units=0, **WAYS[way])
        dead = [array(variable) == 0 for variable in kernels(model)]
        assert all(new[old].all() for new, old in zip(dead, before, strict=True))
        assert (sum(map(np.sum, dead)) > sum(map(np.sum, before))) == is_more


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
def test_half_precision_is_supported(dtype):
    model = dense(9, dtype=dtype)
    plan = kerasreg.prune(model, 0.75)
    assert plan["net/a/kernel"].zeros == zeros(model.layers[0].kernel) == 54
    alive = np.abs(array(model.layers[0].kernel))
    assert model.layers[0].kernel.dtype == keras.DTypePolicy(dtype).variable_dtype
    assert np.all(alive[alive > 0] >= np.sort(np.abs(alive), axis=None)[54])


def test_adapters_and_their_kernels_are_not_pruned():
    model = dense(6, 4)
    model.layers[0].enable_lora(2)
    plan = kerasreg.prune(model, 0.5)
    assert list(plan.variables) == ["net/b/kernel"]
    assert plan.skipped["net/a/kernel"] == "it is not trainable"
    adapters = {path: why for path, why in plan.skipped.items() if "lora" in path}
    assert len(adapters) == 2
    assert set(adapters.values()) == {
        "an adapter (LoRA): merge it first, or name it in `include` to prune it"
    }


def test_int8_is_skipped():
    model = dense(6, 4)
    model.layers[0].quantize("int8")
    plan = kerasreg.prune(model, 0.5)
    assert list(plan.variables) == ["net/b/kernel"]
    assert plan.skipped["net/a/kernel"] == "its dtype is int8"
    assert plan.skipped["net/a/kernel_scale"] == "it is not trainable"


def test_quantize_keeps_the_zeros():
    model = dense(16, 4)
    kerasreg.prune(model, 0.75)
    masks = [array(layer.kernel) == 0 for layer in model.layers]
    # Keras warns that it leaves the input layer out.
    model.quantize("int8", filters=lambda layer: isinstance(layer, layers.Dense))
    for layer, mask in zip(model.layers, masks, strict=True):
        assert layer.kernel.dtype == "int8"
        assert (array(layer._kernel)[mask] == 0).all()


def test_a_compiled_model_stays_compiled_and_can_be_trained():
    model = dense(6)
    model.compile("sgd", "mse")
    x, y = np.ones((4, 8)), np.ones((4, 6))
    model.fit(x, y, verbose=0)
    optimizer = model.optimizer
    kerasreg.prune(model, 0.5)
    np.testing.assert_allclose(model.predict(x, verbose=0), array(model(x)), rtol=1e-5)
    model.fit(x, y, verbose=0)
    assert model.optimizer is optimizer
    assert int(array(optimizer.iterations)) == 2


@pytest.mark.parametrize("kind", ["list", "tuple", "file"])
def test_rewind_sets_earlier_weights_and_keeps_the_zeros(kind, tmp_path):
    model = dense(6, 4)
    start = [value + 1 for value in model.get_weights()]
    model.set_weights(start)
    model.save_weights(tmp_path / "start.weights.h5")
    model.set_weights([value * 3 - 1 for value in start])
    kerasreg.prune(model, 0.5)
    masks = [array(v) == 0 for v in model.weights]
    earlier = {"list": start, "tuple": tuple(start), "file": tmp_path / "start.weights.h5"}[kind]
    assert kerasreg.rewind(model, earlier) == 24 + 12
    for variable, old, mask in zip(model.weights, start, masks, strict=True):
        np.testing.assert_array_equal(array(variable), np.where(mask, 0, old))


def test_rewind_does_not_keep_zeros_of_biases_and_adapters():
    model = dense(6)
    model.layers[0].enable_lora(2)
    start = [np.ones(variable.shape) for variable in model.weights]
    assert kerasreg.rewind(model, start) == 0
    assert all((array(variable) == 1).all() for variable in model.weights)


def test_rewinding_to_weights_of_another_model_raises():
    model = dense(6)
    with pytest.raises(ValueError, match="weight"):
        kerasreg.rewind(model, [np.ones((8, 6))])
    with pytest.raises(ValueError, match="needs a built model"):
        kerasreg.rewind(keras.Sequential([layers.Dense(3)]), [])


def test_a_rewind_that_fails_changes_nothing(tmp_path):
    """All or nothing: neither half of the weights, nor weights without their zeros."""
    model = dense(6, 4)
    start = [np.ones(variable.shape) for variable in model.weights]
    kerasreg.prune(model, 0.5)
    other = dense(6, 5)
    other.save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "torn.weights.h5").write_bytes(b"no file of HDF5")
    broken = [start[0], start[1], start[2] * np.nan, start[3]]
    infinite = [start[0] * np.inf, *start[1:]]
    before = [array(variable).copy() for variable in model.weights]
    for weights in (
        *(broken, infinite, start[:3], [*start[:3], np.ones((2, 2))], [*start[:3], None]),
        *(str(tmp_path / name) for name in ("other.weights.h5", "torn.weights.h5", "none.h5")),
        5,
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            kerasreg.rewind(model, weights)
        for variable, old in zip(model.weights, before, strict=True):
            np.testing.assert_array_equal(array(variable), old)


def test_adapters_and_packed_integers_are_reported():
    """Said in the plan, in the refusal and beside the numbers."""
    model = dense(6, 4)
    model.layers[0].enable_lora(2)
    path = model.layers[0].path
    for text in (
        str(kerasreg.prune(model, 0.5)),
        str(Pruning(0.5).plan(model, steps=100, print_fn=lambda text: None)),
        " ".join(kerasreg.statistics(model).notes),
    ):
        assert f"an adapter (LoRA) is on {path}: merging it" in " ".join(text.split())
    with pytest.raises(ValueError, match=r"select no variable[\s\S]*an adapter \(LoRA\) is on"):
        kerasreg.prune_below(model, 0.1, include=f"{path}/kernel")
    assert not any("lora" in path for path in kerasreg.prune_below(model, 0.1))

    model = dense(6, 4)
    assert kerasreg.statistics(model).notes == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras: an InputLayer cannot be quantized.
        model.quantize("int4")
    lines = []
    kerasreg.summary(model, print_fn=lines.append)
    assert "two weights per byte" in " ".join(lines[0].split())
    with pytest.raises(ValueError, match="two weights per byte"):
        kerasreg.prune(model, 0.5)
    with pytest.raises(ValueError, match="prune before `quantize`"):
        kerasreg.prune_below(model, 0.1)


def test_the_plan_has_exact_numbers():
    plan = kerasreg.prune(dense(6, 4), 0.75, pattern=patterns.Block((3, 2)))
    found = json.loads(json.dumps(plan.to_dict()))
    keys = ["model", "variables", "skipped", "steps", "sparsities", "sparsity", "note"]
    assert list(found) == keys
    row = found["variables"]["net/a/kernel"]
    assert (row["shape"], row["weights"], row["units"]) == ([8, 6], 48, 9)
    assert row["sparsity"] == row["zeros"] / 48
    assert abs(row["zeros"] - 36) <= 3
    assert row["remark"] == (
        "blocks of (3, 2) do not divide (8, 6): those at the edges are smaller"
    )
    assert found["steps"] == []
    assert found["sparsity"] == plan.sparsity


def test_the_plan_prints_a_table():
    plan, lines = kerasreg.prune(dense(6, 4), 0.5, exclude="b/kernel"), []
    plan.print(lines.append)
    (text,) = lines
    assert text == str(plan)
    rows = [line.split() for line in text.splitlines()]
    assert ["net/a/kernel", "8x6", "48", "48", "24", "50.0%"] in rows
    assert ["total", "48", "50.0%"] in rows
    assert "not pruned: `exclude` matches it:\n  net/b/kernel" in text
    reason = "a bias or other 1-D variable: name it in `include` to prune it"
    assert f"not pruned: {reason}:\n  net/a/bias, net/b" in text
