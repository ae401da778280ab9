"""`shrink_to` meets a budget and removes no more units than it needs."""

import keras
import numpy as np
import pytest
from keras import layers
from precision import ROUNDING

import kerasreg
from kerasreg._shrinking.budget import budgets

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 8, 8, 3)).astype("float32")


def residual():
    """A convolution of 10 units, then two of 12 units whose outputs are added."""
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(10, 3, name="first")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU()(y)
    a = layers.Conv2D(12, 3, padding="same", name="a")(y)
    y = layers.Add()([a, layers.Conv2D(12, 1, name="b")(y)])
    y = layers.GlobalAveragePooling2D()(layers.ReLU()(y))
    model = keras.Model(x, layers.Dense(4, name="head")(y))
    # Distinct biases, by which `kept` identifies the units.
    for name in ("first", "a", "b"):
        bias = model.get_layer(name).bias
        bias.assign(RNG.normal(size=bias.shape))
    return model


def numpy(each):
    return keras.ops.convert_to_numpy(each)


def kept(model, small, name):
    """Returns which units of a layer remain."""
    before, after = (numpy(each.get_layer(name).bias) for each in (model, small))
    found = np.isin(before, after)
    np.testing.assert_array_equal(before[found], after)
    return found


#: Weights of one unit: its column, its bias, its normalization, and its rows.
LARGEST = 9 * 3 + 1 + 4 + 9 * 12 + 12


@pytest.mark.parametrize(("budget", "scope"), [
    (0.9, "global"),
    (0.2, "global"),
    (800, "global"),
    (0.5, "layer"),
])  # fmt: skip
def test_a_budget_of_parameters_is_met_up_to_one_unit(budget, scope):
    model = residual()
    small, report = kerasreg.shrink_to(model, params=budget, scope=scope)
    limit = budget if isinstance(budget, int) else budget * model.count_params()
    # With `scope="layer"`, one step can remove a unit of each width.
    largest = LARGEST if scope == "global" else LARGEST + 9 * 10 + 10 + 2 + 4
    assert limit - largest < small.count_params() <= limit
    assert report.parameters_after == small.count_params()


@pytest.mark.parametrize("budget", [0.9, 0.2, 100_000])
def test_a_budget_of_flops_is_met_up_to_one_unit(budget):
    model = residual()
    small, report = kerasreg.shrink_to(model, flops=budget)
    before = kerasreg.flops(model)
    limit = budget if isinstance(budget, int) else budget * before
    largest = before - kerasreg.flops(kerasreg.shrink_to(model, flops=before - 1)[0])
    assert limit - 1.5 * largest < kerasreg.flops(small) <= limit
    assert report.flops_after == kerasreg.flops(small)


def test_outputs_equal_those_of_the_original_with_the_removed_units_zero(widest):
    model = residual()
    model.get_layer("norm").moving_mean.assign(RNG.normal(size=10))
    before = model.get_weights()
    small, report = kerasreg.shrink_to(model, params=0.5)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert {len(layer._inbound_nodes) for layer in model.layers} == {1}
    first, second = kerasreg.coupled_groups(model)
    first.zero(~kept(model, small, "first"))
    np.testing.assert_array_equal(kept(model, small, "a"), kept(model, small, "b"))
    second.zero(~kept(model, small, "a"))
    expected, outputs = numpy(model(IMAGES)), numpy(small(IMAGES))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())
    assert report.difference < ROUNDING


def test_the_weakest_units_are_removed():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, name="a"), layers.Dense(2)])
    strength = np.array([3.0, 1.0, 5.0, 2.0, 6.0, 4.0])
    model.layers[0].kernel.assign(np.tile(strength, (4, 1)))
    model.layers[1].kernel.assign(np.ones((6, 2)))
    # Each unit has 4 + 1 + 2 weights.
    small, _ = kerasreg.shrink_to(model, params=model.count_params() - 3 * 7)
    np.testing.assert_array_equal(numpy(small.layers[0].kernel)[0], [5.0, 6.0, 4.0])


def test_a_budget_of_all_parameters_removes_nothing():
    model = residual()
    small, _ = kerasreg.shrink_to(model, params=1.0)
    assert small.count_params() == model.count_params()


def test_dead_units_are_removed_first():
    model = residual()
    _, second = kerasreg.coupled_groups(model)
    second.zero([0, 5, 7])
    alone, _ = kerasreg.shrink(model)
    small, _ = kerasreg.shrink_to(model, params=alone.count_params())
    assert small.count_params() == alone.count_params()


def test_widths_respect_round_to_and_min_units():
    small, _ = kerasreg.shrink_to(residual(), params=0.35, round_to=4)
    assert {small.get_layer(name).filters % 4 for name in ("first", "a", "b")} == {0}
    small, _ = kerasreg.shrink_to(residual(), params=0.4, min_units=5)
    assert min(small.get_layer(name).filters for name in ("first", "a", "b")) >= 5


def test_an_excluded_layer_keeps_its_units():
    small, _ = kerasreg.shrink_to(residual(), params=0.5, exclude="first")
    assert small.get_layer("first").filters == 10


def test_data_recalibrates_the_normalizations():
    small, _ = kerasreg.shrink_to(residual(), params=0.5, data=(IMAGES, np.zeros((40, 4))))
    conv, norm = small.get_layer("first"), small.get_layer("norm")
    inputs = numpy(conv(IMAGES))
    np.testing.assert_allclose(numpy(norm.moving_mean), inputs.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(numpy(norm.moving_variance), inputs.var((0, 1, 2)), rtol=1e-4)


def test_fine_tuning_lowers_the_loss_and_does_not_train_the_original():
    model = residual()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    data = IMAGES, RNG.normal(size=(40, 4)).astype("float32")
    quick, _ = kerasreg.shrink_to(model, params=0.5, data=data)
    tuned, _ = kerasreg.shrink_to(
        model, params=0.5, data=data, fine_tune={"epochs": 5, "verbose": 0}
    )
    assert tuned.optimizer.iterations == 10
    assert tuned.evaluate(*data, verbose=0)[0] < quick.evaluate(*data, verbose=0)[0]
    assert model.optimizer.iterations == 0


def test_a_latency_budget_is_met_with_few_measurements(monkeypatch):
    """The timer is replaced: every parameter takes a microsecond."""
    built = []

    def seconds_of(models, input_shape=None):
        built.append(models[0])
        return np.array([[1e-6 * each.count_params() for each in models]])

    monkeypatch.setattr(budgets, "seconds_of", seconds_of)
    model = residual()
    small, _ = kerasreg.shrink_to(model, latency=1e-3)
    assert 800 < small.count_params() <= 1000
    assert len(built) <= 8


def test_a_measured_latency_budget_is_met_or_rejected():
    model = residual()
    small, _ = kerasreg.shrink_to(model, latency=60.0)
    assert small.count_params() == model.count_params()
    with pytest.raises(
        ValueError, match=r"Received: latency=1e-09; the smallest is \d.*, with one unit"
    ):
        kerasreg.shrink_to(model, latency=1e-9)


def test_undefined_sizes_need_an_input_shape():
    x = keras.Input((None, None, 3))
    y = layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3, use_bias=False)(x))
    model = keras.Model(x, layers.Dense(2, use_bias=False)(y))
    with pytest.raises(ValueError, match=r"operations can be counted.*Pass `input_shape`"):
        kerasreg.shrink_to(model, flops=0.5)
    small, _ = kerasreg.shrink_to(model, flops=0.5, input_shape=(9, 9, 3))
    assert small.layers[1].filters == 4


@pytest.mark.parametrize(("given", "message"), [
    ({}, r"Exactly one of \['params', 'flops', 'latency'\].*Received: none of them"),
    ({"params": 0.5, "flops": 0.5}, r"Exactly one of.*Received: params=0.5, flops=0.5"),
    ({"params": 0}, "`params` must be an int of at least 1, or a float above 0.0.*params=0"),
    ({"params": 1.5}, "`params` must be an int of at least 1.*params=1.5"),
    ({"flops": True}, "`flops` must be an int of at least 1.*flops=True"),
    ({"latency": -1.0}, "`latency` must be a finite number above 0.*latency=-1.0"),
    ({"params": 20}, r"can be reached. Received: params=20; the smallest is \d+, with one unit of"),
    ({"params": 0.5, "fine_tune": {}}, "`fine_tune` needs `data` and a compiled model"),
    ({"params": 0.5, "fine_tune": {}, "data": IMAGES}, "a model that is not compiled"),
], ids=range(9))  # fmt: skip
def test_invalid_budgets_are_rejected(given, message):
    with pytest.raises(ValueError, match=message):
        kerasreg.shrink_to(residual(), **given)


def test_a_model_with_lora_is_rejected():
    model = residual()
    model.get_layer("head").enable_lora(2)
    with pytest.raises(ValueError, match=r"`kerasreg.shrink_to` needs.*'head' with LoRA. Merge it"):
        kerasreg.shrink_to(model, params=0.5)
