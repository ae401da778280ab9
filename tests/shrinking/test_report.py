"""The numbers and texts in the report of `shrink`."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._shrinking.costs.latency import Latency, LatencyComparison


def residual():
    """Two branches of 8 units that are added; 3 are dead in both, 2 more in one of them."""
    x = keras.Input((4,), name="x")
    y = layers.Add(name="add")([layers.Dense(8, name="a")(x), layers.Dense(8, name="b")(x)])
    model = keras.Model(x, layers.Dense(2, name="c")(y), name="net")
    for name, dead in (("a", [0, 1, 2, 3, 4]), ("b", [0, 1, 2])):
        kernel = np.array(keras.ops.convert_to_numpy(model.get_layer(name).kernel))
        kernel[:, dead] = 0
        model.get_layer(name).kernel.assign(kernel)
    return model


def test_counts_equal_sums_by_hand():
    _, report = kerasreg.shrink(residual())
    # 2 * multiply-adds and the biases of a, b and c, and the sum.
    assert report.flops_before == 2 * (2 * 4 * 8 + 8) + 8 + 2 * 8 * 2 + 2
    assert report.flops_after == 2 * (2 * 4 * 5 + 5) + 5 + 2 * 5 * 2 + 2
    assert (report.parameters_before, report.parameters_after) == (98, 62)
    assert (report.bytes_before, report.bytes_after) == (4 * 98, 4 * 62)
    first = report.layers[0]
    assert (first.name, first.kind, first.before, first.after) == ("a", "Dense", (4, 8), (4, 5))
    assert (first.parameters_before, first.parameters_after) == (40, 25)
    assert (first.flops_before, first.flops_after) == (72, 45)
    assert report.pinned == {"an output of the model": 2}


def test_units_that_one_kernel_alone_computes_are_reported():
    """The remaining units 3 and 4 have 4 + 1 weights each in `a` and in `b`, and 2 in `c`."""
    _, report = kerasreg.shrink(residual())
    (nearly,) = report.nearly
    assert (nearly.kernel, nearly.side) == ("b/kernel", "computed")
    assert (nearly.units, nearly.parameters) == (2, 2 * (2 * 5 + 2))
    assert "2 more units (24 parameters) are computed by 'b/kernel' alone" in str(report)


def test_units_that_one_kernel_alone_reads_are_reported():
    x = keras.Input((4,))
    y = layers.Dense(6, name="a")(x)
    model = keras.Model(x, [layers.Dense(2, name="b")(y), layers.Dense(3, name="c")(y)])
    kernel = np.array(keras.ops.convert_to_numpy(model.get_layer("b").kernel))
    kernel[:4] = 0
    model.get_layer("b").kernel.assign(kernel)
    _, report = kerasreg.shrink(model)
    (nearly,) = report.nearly
    assert (nearly.kernel, nearly.side) == ("c/kernel", "read")
    assert (nearly.units, nearly.parameters) == (4, 4 * (4 + 1 + 2 + 3))


def test_attention_is_one_row():
    x = keras.Input((5, 6))
    model = keras.Model(x, layers.MultiHeadAttention(2, 3, name="attention")(x, x))
    _, report = kerasreg.shrink(model)
    (row,) = report.layers
    assert (row.name, row.kind, row.before) == ("attention", "MultiHeadAttention", (6, 2, 3))
    assert row.parameters_before == model.count_params()
    assert row.flops_before == report.flops_before == kerasreg.flops(model)


def test_flops_of_undefined_sizes_are_none_with_a_reason():
    x = keras.Input((None, 4))
    model = keras.Model(x, layers.Dense(3, name="a")(x))
    _, report = kerasreg.shrink(model)
    assert report.flops_before is report.flops_after is report.layers[0].flops_before is None
    assert "| a | Dense | 4x3 | 4x3 | 15 | 15 | ? | ? |" in report.to_markdown()
    assert report.uncounted == ["'a' has an undefined size: pass `input_shape`"]
    assert "FLOPs: 'a' has an undefined size" in str(report)
    _, report = kerasreg.shrink(model, input_shape=(5, 4))
    assert report.flops_before == 5 * (2 * 4 * 3 + 3)
    assert report.uncounted == []


def test_a_layer_without_a_flop_count_is_reported():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Lambda(lambda y: 2 * y, name="double")(layers.Dense(3)(x)))
    _, report = kerasreg.shrink(model)
    assert report.uncounted == [
        "no FLOP count is registered for 'double' (Lambda); see `kerasreg.shrinking.cost_of`"
    ]


def test_every_format_has_all_numbers():
    _, report = kerasreg.shrink(residual())
    latency = LatencyComparison(Latency(2e-3, 1.9e-3, 2.1e-3), Latency(1e-3, 9e-4, 2e-3), 1)
    assert report.latency is None
    report = report.with_latency(latency)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain == report.to_dict()
    assert plain["layers"][0]["after"] == [4, 5]
    assert plain["latency"]["before"] == {"median": 2e-3, "low": 1.9e-3, "high": 2.1e-3}
    assert plain["nearly"][0]["parameters"] == 24
    markdown = report.to_markdown()
    assert "| a | Dense | 4x8 | 4x5 | 40 | 25 | 72 | 45 |" in markdown
    lines = []
    report.print(print_fn=lines.append)
    for text in (lines[0], markdown):
        assert "bytes: 392 -> 248" in text
        assert "latency at batch size 1: 2 ms (1.9 to 2.1) -> 1 ms (0.9 to 2), 2 times" in text
        assert "2 units had to stay: an output of the model" in text
        assert "largest difference of the outputs: " in text


def test_large_numbers_are_short_in_the_printed_table_only():
    _, report = kerasreg.shrink(residual())
    counts = 9_999, 10_000, 999_499, 999_500, 45_106_762, 3_100_000_000_000
    shorts = "9,999", "10.0k", "999k", "1.00M", "45.1M", "3.10T"
    for exact, short in zip(counts, shorts, strict=True):
        large = dataclasses.replace(report, flops_before=exact)
        (total,) = (line for line in str(large).splitlines() if "total" in line)
        assert f" {short} " in total
        assert f" {exact:,} " in large.to_markdown()


def test_a_long_list_of_reasons_is_shortened():
    _, report = kerasreg.shrink(residual())
    report.pinned.update({f"reason {place}": 1 for place in range(20)})
    assert str(report).count("had to stay") == 8
    assert "and 13 more: see `to_dict`" in str(report)
    assert len(report.to_dict()["pinned"]) == 21


def test_left_gives_remaining_units_by_index_or_name():
    rng = np.random.default_rng(0)
    x = keras.Input((4,), name="x")
    first = layers.Dense(6, "relu", name="first")
    second = layers.Dense(6, name="second")
    model = keras.Model(x, layers.Dense(2, name="last")(second(first(x))))
    for variable in model.weights:
        variable.assign(rng.uniform(0.5, 1.0, variable.shape))
    for layer, dead in ((first, [0, 4]), (second, [1])):
        kernel = np.array(keras.ops.convert_to_numpy(layer.kernel))
        kernel[:, dead] = 0
        layer.kernel.assign(kernel)
    small, report = kerasreg.shrink(model)
    rows = {row.name: row for row in report.layers}
    assert rows["first"].left() == [1, 2, 3, 5]
    assert (rows["second"].left(0), rows["second"].left()) == ([1, 2, 3, 5], [0, 2, 3, 4, 5])
    assert rows["first"].left(0, names=["age", "sex", "bmi", "bp"]) == ["age", "sex", "bmi", "bp"]
    assert rows["last"].left(0, names="abcdef") == list("acdef")
    for old, new in zip((first, second), small.layers[1:], strict=False):
        kernel = np.asarray(keras.ops.convert_to_numpy(old.kernel))
        found = kernel[np.ix_(*rows[old.name].kept)]
        np.testing.assert_array_equal(found, keras.ops.convert_to_numpy(new.kernel))
    with pytest.raises(ValueError, match=r"`names` must have .* of the 6 .*Received: 1 names"):
        rows["first"].left(names="a")
    with pytest.raises(ValueError, match=r"`axis` must be one of the 2 axes.*axis=2"):
        rows["first"].left(2)


def test_kept_units_match_the_new_shapes_where_groups_are_removed_in_two_passes():
    stack = [
        layers.Conv2D(8, 1, name="a"),
        layers.Conv2D(8, 1, groups=4, name="b"),
        layers.DepthwiseConv2D(1, name="c"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((3, 3, 2)), *stack])
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.5, 1.0, variable.shape))
    for layer, dead in ((stack[0], [0, 1, 5]), (stack[1], [0, 1, 4, 5])):
        kernel = np.array(keras.ops.convert_to_numpy(layer.kernel))
        kernel[..., dead] = 0
        layer.kernel.assign(kernel)
    small, report = kerasreg.shrink(model)
    for row, layer in zip(
        report.layers, (each for each in small.layers if each.weights), strict=True
    ):
        assert tuple(map(len, row.kept)) == row.after == tuple(layer.weights[0].shape), row


def test_constant_units_that_stay_are_reported_with_the_reason():
    x = keras.Input((5, 6))
    y = layers.Dense(8, name="a")(x)
    model = keras.Model(x, layers.Dense(2)(keras.ops.prod(y, axis=1)))
    a = model.get_layer("a")
    a.kernel.assign(np.where(np.arange(8) < 3, 0, keras.ops.convert_to_numpy(a.kernel)))
    _, report = kerasreg.shrink(model)
    assert report.pinned["constants do not stay constants in 'prod' (Prod)"] == 3
    json.dumps(report.to_dict())


def test_every_layer_without_a_rule_is_reported():
    makers = {
        "distributed": lambda x: layers.TimeDistributed(layers.LSTM(4), name="distributed")(x),
        "einsum": lambda x: layers.EinsumDense("btsc,tcd->btsd", (3, 4, 4), name="einsum")(x),
    }
    x = keras.Input((3, 4, 4))
    model = keras.Model(x, [layers.Flatten()(make(x)) for make in makers.values()])
    _, report = kerasreg.shrink(model)
    reasons = "; ".join(report.unknown)
    assert all(f"'{name}' (" in reasons for name in makers), reasons
    assert reasons.count("has no rule") == len(makers)
