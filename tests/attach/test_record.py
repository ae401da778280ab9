"""Attached regularizers in copies, configs and files. See also `regularizers/test_saving.py`."""

import contextlib
import copy
import io
import pickle
import re

import architectures
import keras
import numpy as np
import pytest
from architectures import MODELS, describe, inputs_of, regularizers
from attached import build, penalty, texts
from keras import layers, ops

import kerasreg
from kerasreg.regularizers import L1, L2


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"pretrained"}))
def test_copies_keep_attached_regularizers(name):
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
    # Copying did not change the model.
    assert describe(model) == expected


@pytest.mark.parametrize("name", ["functional", "sequential", "recurrent", "convolutional"])
def test_clones_keep_regularizers_in_layer_configs(name):
    model, rules = build(name)
    kerasreg.attach(model, rules)
    clone = keras.models.clone_model(model)
    assert describe(clone)["regularizers"] == describe(model)["regularizers"]


@pytest.mark.parametrize("name", ["attention", "nested", "custom", "own_functional"])
def test_clones_lose_other_regularizers_with_a_warning(name):
    model, rules = build(name)
    plain = type(model)
    kerasreg.attach(model, rules)
    # Keras clones a Sequential without using its class.
    warns = pytest.warns(UserWarning, match=r"The new model does not have the reg.* for the new")
    with contextlib.nullcontext() if name == "custom" else warns:
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
def test_regularizers_of_every_layer_survive_its_config(name):
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
        # If its config contains all regularizers, the class of the model does not change.
        assert (type(model) is keras.Sequential) == (
            name not in ("Bidirectional", "RMSNormalization")
        )
        copies = [type(model).from_config(model.get_config())]
        if name != "RMSNormalization":
            copies.append(keras.models.clone_model(model))
        for same in copies:
            assert texts(same) == expected
        kerasreg.detach(model)
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


def test_attach_and_detach_on_nested_models():
    base = architectures.custom()
    kerasreg.attach(base, {"scale": "l1"})
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, layers.Dense(1, name="top")(base(inputs)))
    same = copy.deepcopy(outer)
    assert len(regularizers(same)) == 2
    # Attached to the outer model again, and detached from the inner one.
    kerasreg.attach(outer, {"mixing": L1(0.7)})
    assert penalty(copy.deepcopy(outer)) == pytest.approx(penalty(outer))
    assert texts(copy.deepcopy(base))["1/mixing"] == "L1(l1=0.7)"
    kerasreg.attach(base, {"mixing": L2(0.3)})
    assert texts(copy.deepcopy(outer))["1/mixing"] == "L2(l2=0.3)"
    kerasreg.detach(base)
    assert type(base) is keras.Sequential
    assert regularizers(copy.deepcopy(outer)) == {}
    # Everything is detached from the outer model.
    kerasreg.attach(base, {"scale": L1(0.1)})
    assert len(kerasreg.detach(outer)) == 2
    assert "kerasreg" not in outer.to_json() + base.to_json()
    assert type(outer) is keras.Model or type(outer).__name__ == "Functional"


def test_attached_regularizers_are_saved_during_fit(tmp_path):
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
def test_saving_in_the_legacy_format_raises(name, tmp_path):
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1()})
    with pytest.raises(ValueError, match=r"HDF5 format cannot store.*`\.keras`.*detach.*Received"):
        model.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    model.save_weights(tmp_path / "model.weights.h5")


def test_summary_and_plots_show_the_plain_class():
    model = architectures.custom()
    kerasreg.attach(model, {"mixing": L1()})
    text = io.StringIO()
    model.summary(print_fn=lambda line: text.write(line + "\n"))
    assert 'Model: "sequential"' in text.getvalue()
