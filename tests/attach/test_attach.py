"""`attach` and `detach`: which variables get which regularizer, and the effect on the loss."""

import copy
import json
import re

import architectures
import keras
import numpy as np
import pytest
from architectures import MODELS, inputs_of, regularizers
from attached import build, penalty, texts
from keras import layers, ops

import kerasreg
from kerasreg.regularizers import L1, L1L2, L2, GroupLasso

every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_attach_sets_regularizers_and_detach_restores_the_model(name):
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


def test_attach_replaces_and_adds_regularizers():
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
def test_rules_accept_names_and_configs_of_keras_regularizers(value):
    model = architectures.sequential()
    plain = model.get_config()
    attached = kerasreg.attach(model, {"hidden/kernel": value})
    assert isinstance(regularizers(model)["0/kernel"], keras.regularizers.L1)
    assert penalty(model) > 0
    assert kerasreg.detach(model) == attached
    assert model.get_config() == plain


def test_rules_accept_functions_of_the_weights():
    @keras.saving.register_keras_serializable("tests")
    def cubes(weights):
        return ops.sum(ops.abs(weights) ** 3)

    model = architectures.custom()
    try:
        keras.Variable(0.0).regularizer = cubes
    except ValueError:  # Keras 3.10
        with pytest.raises(ValueError, match=r"must be a regularizer.*cubes"):
            kerasreg.attach(model, {"head": L1(), "mixing": cubes})
        assert model.losses == []
        return
    kerasreg.attach(model, {"mixing": cubes})
    assert penalty(model) > 0
    assert penalty(copy.deepcopy(model)) == pytest.approx(penalty(model))
    assert list(kerasreg.detach(model).values()) == [cubes]


def test_axis_names_become_axes_of_each_variable():
    model = architectures.recurrent()
    kerasreg.attach(model, {"lstm|rnn/cell/kernel": GroupLasso(0.1, axis="output")})
    assert texts(model)["0/kernel"] == "GroupLasso(factor=0.1, axis=-1, gates=4)"
    assert texts(model)["3/kernel"] == "GroupLasso(factor=0.1, axis=-1, gates=3)"


def test_detach_removes_penalties_of_layer_arguments():
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
    # Keras' own regularizers that were not attached remain.
    assert {type(each) for each in regularizers(model).values()} == {
        keras.regularizers.L1,
        keras.regularizers.L2,
    }


def test_a_penalty_attached_after_fit_is_in_the_loss():
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
