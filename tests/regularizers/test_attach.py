"""`attach` and `detach`: which variables, what it changes, and that errors attach nothing."""

import copy
import io
import json
import pickle
import re

import architectures
import keras
import numpy as np
import pytest
from architectures import MODELS, describe, inputs_of, regularizers
from attached import build
from keras import layers, ops

import kerasreg
from kerasreg.regularizers import L1, L1L2, L2, GroupLasso

every_model = pytest.mark.parametrize("name", MODELS)


def penalty(model):
    return float(sum(float(ops.convert_to_numpy(loss)) for loss in model.losses))


@every_model
def test_attach_and_detach(name):
    model, rules = build(name)
    before, plain = penalty(model), type(model)
    attached = kerasreg.attach(model, rules)
    matching = [v for v in model.weights if any(re.search(rule, v.path) for rule in rules)]
    assert attached == {v.path: v.regularizer for v in model.weights if v.regularizer is not None}
    assert set(attached) == {v.path for v in matching if v.trainable}
    by_hand = sum(
        float(ops.convert_to_numpy(attached[v.path](v)))
        for v in model.weights
        if v.path in attached
    )
    assert penalty(model) == pytest.approx(before + by_hand, rel=1e-5)
    assert by_hand > 0
    assert isinstance(model, plain)
    assert type(model).__name__ == plain.__name__

    assert kerasreg.detach(model) == attached
    assert type(model) is plain
    assert regularizers(model) == {}
    assert penalty(model) == before
    assert kerasreg.detach(model) == {}
    assert "kerasreg" not in json.dumps(keras.saving.serialize_keras_object(model))


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"pretrained"}))
def test_in_memory_copies_keep_what_is_attached(name):
    model, rules = build(name, compiled=name in ("attention", "sequential", "subclassed"))
    kerasreg.attach(model, rules)
    expected = describe(model)
    model.summary(print_fn=lambda line: None)
    copies = {"deepcopy": copy.deepcopy(model), "pickle": pickle.loads(pickle.dumps(model))}
    for kind, other in copies.items():
        assert describe(other) == expected, kind
    rebuilt = {
        "json": keras.models.model_from_json(model.to_json()),
        "config": type(model).from_config(model.get_config()),
    }
    for kind, other in rebuilt.items():
        assert describe(other)["regularizers"] == expected["regularizers"], kind
    # Asking for all of this changed nothing.
    assert describe(model) == expected


@pytest.mark.parametrize("name", ["functional", "sequential", "recurrent", "convolutional"])
def test_clones_keep_what_the_layers_hold(name):
    model, rules = build(name)
    kerasreg.attach(model, rules)
    clone = keras.models.clone_model(model)
    assert describe(clone)["regularizers"] == describe(model)["regularizers"]


@pytest.mark.parametrize("name", ["attention", "nested", "custom", "own_functional"])
def test_clones_of_what_no_layer_holds_are_plain_models(name):
    model, rules = build(name)
    plain = type(model)
    kerasreg.attach(model, rules)
    clone = keras.models.clone_model(model)
    assert type(clone) is plain
    assert len(clone.weights) == len(model.weights)
    kerasreg.attach(clone, rules)
    assert len(regularizers(clone)) == len(regularizers(model))


LAYERS = {
    "Dense": (layers.Dense(2), (3,)),
    "Conv1D": (layers.Conv1D(2, 2), (4, 3)),
    "Conv2D": (layers.Conv2D(2, 2), (4, 4, 3)),
    "Conv3D": (layers.Conv3D(2, 2), (3, 3, 3, 3)),
    "DepthwiseConv1D": (layers.DepthwiseConv1D(2), (4, 3)),
    "DepthwiseConv2D": (layers.DepthwiseConv2D(2), (4, 4, 3)),
    "SeparableConv1D": (layers.SeparableConv1D(2, 2), (4, 3)),
    "SeparableConv2D": (layers.SeparableConv2D(2, 2), (4, 4, 3)),
    "Conv1DTranspose": (layers.Conv1DTranspose(2, 2), (4, 3)),
    "Conv2DTranspose": (layers.Conv2DTranspose(2, 2), (4, 4, 3)),
    "Conv3DTranspose": (layers.Conv3DTranspose(2, 2), (3, 3, 3, 3)),
    "Embedding": (layers.Embedding(5, 2), (3,)),
    "EinsumDense": (layers.EinsumDense("ab,bc->ac", 2, bias_axes="c"), (3,)),
    "BatchNormalization": (layers.BatchNormalization(), (3,)),
    "LayerNormalization": (layers.LayerNormalization(), (3,)),
    "GroupNormalization": (layers.GroupNormalization(1), (3,)),
    "RMSNormalization": (layers.RMSNormalization(), (3,)),
    "PReLU": (layers.PReLU(), (3,)),
    "SimpleRNN": (layers.SimpleRNN(2), (4, 3)),
    "GRU": (layers.GRU(2), (4, 3)),
    "LSTM": (layers.LSTM(2), (4, 3)),
    "ConvLSTM2D": (layers.ConvLSTM2D(2, 2), (2, 4, 4, 3)),
    "Bidirectional": (layers.Bidirectional(layers.LSTM(2)), (4, 3)),
    "TimeDistributed": (layers.TimeDistributed(layers.Dense(2)), (4, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_variable_of_every_layer_survives_its_config(name):
    layer, shape = LAYERS[name]
    config = layer.get_config()
    integers = {"dtype": "int32"} if name == "Embedding" else {}

    def fresh():
        keras.backend.clear_session(free_memory=False)
        own = type(layer).from_config(copy.deepcopy(config))
        return keras.Sequential([keras.Input(shape, **integers), own])

    for path in [v.path for v in fresh().trainable_variables]:
        model = fresh()
        plain = model.get_config()
        kerasreg.attach(model, {f"^{re.escape(path)}$": L1(0.125)})
        expected = texts(model)
        assert list(expected.values()) == ["L1(l1=0.125)"]
        copies = [type(model).from_config(model.get_config())]
        if type(model) is keras.Sequential and "RMS" not in name:
            copies.append(keras.models.clone_model(model))
        for same in copies:
            assert texts(same) == expected
        kerasreg.detach(model)
        assert model.get_config() == plain


def texts(model):
    return {name: repr(regularizer) for name, regularizer in regularizers(model).items()}


def test_the_first_rule_wins():
    model = architectures.functional()
    attached = kerasreg.attach(model, {"hidden/kernel": L1(0.1), "kernel": L2(0.2), "": L1(0.3)})
    assert {path: repr(regularizer) for path, regularizer in attached.items()} == {
        "hidden/kernel": "L1(l1=0.1)",
        "skip/kernel": "L2(l2=0.2)",
        "head/kernel": "L2(l2=0.2)",
        "hidden/bias": "L1(l1=0.3)",
        "skip/bias": "L1(l1=0.3)",
        "head/bias": "L1(l1=0.3)",
    }


def test_attach_replaces_and_adds():
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1(0.1), "head/kernel": L1(0.1)})
    kerasreg.attach(model, {"mixing": L2(0.2)})
    expected = {"1/mixing": "L2(l2=0.2)", "2/kernel": "L1(l1=0.1)"}
    assert texts(model) == expected
    same = copy.deepcopy(model)
    assert texts(same) == expected
    assert len(kerasreg.detach(same)) == 2
    assert type(same) is keras.Sequential


@pytest.mark.parametrize(
    "value",
    [
        "l1",
        {"class_name": "L1", "config": {"l1": 0.01}},
        keras.regularizers.L1(),
        keras.regularizers.L1,
    ],
    ids=["name", "config", "instance", "class"],
)
def test_regularizers_of_keras_in_every_form(value):
    model = architectures.sequential()
    plain = model.get_config()
    attached = kerasreg.attach(model, {"hidden/kernel": value})
    assert isinstance(regularizers(model)["0/kernel"], keras.regularizers.L1)
    assert penalty(model) > 0
    assert kerasreg.detach(model) == attached
    assert model.get_config() == plain


def test_custom_objects_reach_the_layers_and_the_regularizers(tmp_path):
    class Gain(layers.Layer):
        def build(self, shape):
            self.gain = self.add_weight(shape=(shape[-1],), name="gain")

        def call(self, x):
            return x * self.gain

    class Squares(kerasreg.regularizers.Regularizer):
        def _value(self, weights):
            return ops.sum(weights**2)

        def get_config(self):
            return {}

    model = keras.Sequential([keras.Input((4,)), Gain()])
    kerasreg.attach(model, {"gain": Squares()})
    model.save(tmp_path / "model.keras")
    custom = {"Gain": Gain, "Squares": Squares}
    for same in (
        keras.models.load_model(tmp_path / "model.keras", custom_objects=custom),
        keras.models.model_from_json(model.to_json(), custom_objects=custom),
        type(model).from_config(model.get_config(), custom_objects=custom),
    ):
        assert texts(same) == {"0/gain": "Squares()"}


def test_any_function_of_the_weights():
    @keras.saving.register_keras_serializable("tests")
    def cubes(weights):
        return ops.sum(ops.abs(weights) ** 3)

    model = architectures.custom()
    kerasreg.attach(model, {"mixing": cubes})
    assert penalty(model) > 0
    assert penalty(copy.deepcopy(model)) == pytest.approx(penalty(model))
    assert list(kerasreg.detach(model).values()) == [cubes]


def test_names_become_axes_of_each_variable():
    model = architectures.recurrent()
    kerasreg.attach(model, {"lstm|rnn/cell/kernel": GroupLasso(0.1, axis="output")})
    assert texts(model)["0/kernel"] == "GroupLasso(factor=0.1, axis=-1, gates=4)"
    assert texts(model)["3/kernel"] == "GroupLasso(factor=0.1, axis=-1, gates=3)"


def test_penalties_of_layer_arguments_are_detached_too():
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, kernel_regularizer=L1(0.1), bias_regularizer="l2")(
        inputs, inputs
    )
    x = layers.Bidirectional(layers.LSTM(2, kernel_regularizer=L1L2(0.1, 0.1)))(x)
    x = layers.Dense(3, kernel_regularizer=GroupLasso(0.1), activity_regularizer=L1(0.1))(x)
    model = keras.Model(inputs, layers.Dense(1, kernel_regularizer="l1")(x))
    removed = kerasreg.detach(model)
    assert {type(each) for each in removed.values()} == {L1, L1L2, GroupLasso}
    assert "kerasreg" not in json.dumps(keras.saving.serialize_keras_object(model))
    # What is Keras' own and was not attached, stays.
    assert {type(each) for each in regularizers(model).values()} == {
        keras.regularizers.L1,
        keras.regularizers.L2,
    }


def test_a_fitted_model_has_the_new_penalty_in_its_loss():
    model = architectures.custom()
    model.compile("sgd", "mse")
    x, y = inputs_of(model), np.zeros((8, 1), "float32")
    model.fit(x, y, verbose=0)
    plain = model.evaluate(x, y, verbose=0)
    kerasreg.attach(model, {"mixing": L1(0.5)})
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain + penalty(model), rel=1e-5)
    before = model.get_weights()
    model.fit(x, y, verbose=0, batch_size=8)
    with_penalty = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    kerasreg.detach(model)
    model.set_weights(before)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain, rel=0.2)
    model.fit(x, y, verbose=0, batch_size=8)
    without = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    np.testing.assert_allclose(
        with_penalty[1] - without[1], -0.01 * 0.5 * np.sign(before[1]), atol=1e-5
    )


def test_nested_models_stay_consistent():
    base = architectures.custom()
    kerasreg.attach(base, {"scale": "l1"})
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, layers.Dense(1, name="top")(base(inputs)))
    same = copy.deepcopy(outer)
    assert len(regularizers(same)) == 2
    # On the outside again, and off on the inside.
    kerasreg.attach(outer, {"mixing": L1(0.7)})
    assert penalty(copy.deepcopy(outer)) == pytest.approx(penalty(outer))
    assert texts(copy.deepcopy(base))["1/mixing"] == "L1(l1=0.7)"
    kerasreg.attach(base, {"mixing": L2(0.3)})
    assert texts(copy.deepcopy(outer))["1/mixing"] == "L2(l2=0.3)"
    kerasreg.detach(base)
    assert type(base) is keras.Sequential
    assert regularizers(copy.deepcopy(outer)) == {}
    # All off from the outside.
    kerasreg.attach(base, {"scale": L1(0.1)})
    assert len(kerasreg.detach(outer)) == 2
    assert "kerasreg" not in outer.to_json() + base.to_json()
    assert type(outer) is keras.Model or type(outer).__name__ == "Functional"


def test_attached_weights_are_saved_while_a_fit_trains_them(tmp_path):
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1(0.25)})
    model.compile("sgd", "mse")
    path = str(tmp_path / "model.keras")
    x, y = inputs_of(model), np.zeros((8, 1), "float32")
    checkpoint = keras.callbacks.ModelCheckpoint(path)
    model.fit(x, y, verbose=0, callbacks=[kerasreg.callbacks.ProximalGradient(), checkpoint])
    same = keras.models.load_model(path)
    assert texts(same) == {"1/mixing": "L1(l1=0.25)"}


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_the_legacy_format_is_refused_before_it_loses_anything(name, tmp_path):
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1()})
    with pytest.raises(ValueError, match=r"HDF5 format cannot hold.*`\.keras`.*detach.*Received"):
        model.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    model.save_weights(tmp_path / "model.weights.h5")


def unchanged(model, rules, message):
    before = describe(model)
    with pytest.raises(ValueError, match=message):
        kerasreg.attach(model, rules)
    assert describe(model) == before


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"nothing": L1()}, r"'nothing' applies to no trainable variable.*hidden/kernel'"),
        ({"kernel": L1(), "hidden/kernel": L1()}, r"taken by a rule before it"),
        ({"kernel": L1(), "Kernel": L1()}, r"'Kernel' applies to no"),
        ({}, r"`rules` must be a dict.*Received: rules=\{\}"),
        (None, r"`rules` must be a dict.*Received: rules=None"),
        ([("kernel", L1())], r"`rules` must be a dict.*Received: rules=\["),
        (L1(), r"`rules` must be a dict.*Received: rules=L1"),
        ({"kernel": L1(), "(": L1()}, r"regular expressions as keys.*Received: '\('"),
        ({"kernel": L1(), 3: L1()}, r"regular expressions as keys.*Received: 3"),
        (
            {"kernel": L1(), "bias": None},
            r"`rules\['bias'\]` must be a regularizer.*Received: None.*detach",
        ),
        ({"kernel": L1(), "bias": 0.1}, r"`rules\['bias'\]` must be a regularizer.*Received: 0\.1"),
        (
            {"kernel": L1(), "bias": "lasso"},
            r"`rules\['bias'\]` must be a regularizer.*Received: 'lasso'",
        ),
        (
            {"": GroupLasso(axis="head")},
            r"'head'.*no meaning for '.*hidden/kernel'.*'output', 'input', 0, 1",
        ),
        ({"kernel": L1(), "bias": GroupLasso(axis="input")}, r"'input'.*hidden/bias'.*'output', 0"),
        (
            {"bias": L1(), "kernel": GroupLasso(axis=2)},
            r"hidden/kernel with shape \(4, 3\).*axis=2",
        ),
        ({"kernel": GroupLasso(axis=-1, gates=3)}, r"head/kernel.*3 gates do not divide"),
    ],
    ids=repr,
)
def test_bad_rules_attach_nothing(rules, message):
    unchanged(architectures.sequential(), rules, message)


def test_frozen_variables_take_no_penalty():
    model = architectures.sequential()
    model.layers[0].trainable = False
    unchanged(model, {"hidden": L1()}, r"hidden/kernel', .*hidden/bias'\].*not trainable")
    kerasreg.attach(model, {"kernel": L1()})
    assert list(regularizers(model)) == ["2/kernel"]
    model.trainable = False
    with pytest.raises(ValueError, match="not trainable"):
        kerasreg.attach(model, {"kernel": L1()})
    # What is frozen has no part in the loss, and can still be detached.
    assert model.losses == []
    assert len(kerasreg.detach(model)) == 1


@pytest.mark.parametrize("function", [lambda m: kerasreg.attach(m, {"": L1()}), kerasreg.detach])
def test_unbuilt_models(function):
    for model in (keras.Sequential([layers.Dense(3)]), architectures.Subclassed()):
        with pytest.raises(ValueError, match=r"needs a built model.*not built.*keras\.Input"):
            function(model)


@pytest.mark.parametrize("model", [None, "model", layers.Dense(3)])
def test_what_is_no_model(model):
    for function in (lambda m: kerasreg.attach(m, {"": L1()}), kerasreg.detach):
        with pytest.raises(ValueError, match="model"):
            function(model)


def test_summary_and_plots_show_the_plain_class():
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1()})
    text = io.StringIO()
    model.summary(print_fn=lambda line: text.write(line + "\n"))
    assert 'Model: "sequential"' in text.getvalue()
