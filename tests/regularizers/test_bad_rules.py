"""Invalid rules of `attach` raise an error, and nothing is attached."""

import architectures
import keras
import pytest
from architectures import describe, regularizers
from keras import layers

import kerasreg
from kerasreg.regularizers import L1, GroupLasso


def unchanged(model, rules, message):
    before = describe(model)
    with pytest.raises(ValueError, match=message):
        kerasreg.attach(model, rules)
    assert describe(model) == before


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"nothing": L1()}, r"'nothing' applies to no trainable variable.*hidden/kernel'"),
        (
            {"kernel": L1(), "hidden/kernel": L1()},
            r"an earlier rule applies to every variable",
        ),
        ({"kernel": L1(), "Kernel": L1()}, r"'Kernel' applies to no"),
        ({}, r"`rules` must be a dict.*Received: rules=\{\}"),
        (None, r"`rules` must be a dict.*Received: rules=None"),
        ([("kernel", L1())], r"`rules` must be a dict.*Received: rules=\["),
        (L1(), r"`rules` must be a dict.*Received: rules=L1"),
        ({"kernel": L1(), "(": L1()}, r"regular expressions as keys.*Received: rules='\('"),
        ({"kernel": L1(), 3: L1()}, r"regular expressions as keys.*Received: rules=3"),
        (
            {"kernel": L1(), "bias": None},
            r"`rules\['bias'\]` must be a regularizer.*Received: None.*detach",
        ),
        ({"kernel": L1(), "bias": 0.1}, r"`rules\['bias'\]` must be a regularizer.*Received: 0\.1"),
        (
            {"kernel": L1(), "bias": kerasreg.constraints.Box(0.0)},
            r"`rules\['bias'\]` must be a regularizer.*Received: Box",
        ),
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


def test_rules_for_frozen_variables_raise():
    model = architectures.sequential()
    model.layers[0].trainable = False
    unchanged(model, {"hidden": L1()}, r"hidden/kernel', .*hidden/bias'\].*not trainable")
    kerasreg.attach(model, {"kernel": L1()})
    assert list(regularizers(model)) == ["2/kernel"]
    model.trainable = False
    with pytest.raises(ValueError, match="not trainable"):
        kerasreg.attach(model, {"kernel": L1()})
    # A penalty of a frozen variable is not in the loss, and can still be detached.
    assert model.losses == []
    assert len(kerasreg.detach(model)) == 1


@pytest.mark.parametrize("function", [lambda m: kerasreg.attach(m, {"": L1()}), kerasreg.detach])
def test_unbuilt_models_raise(function):
    for model in (keras.Sequential([layers.Dense(3)]), architectures.Subclassed()):
        with pytest.raises(ValueError, match=r"needs a built model.*not built.*keras\.Input"):
            function(model)


@pytest.mark.parametrize("model", [None, "model", layers.Dense(3)])
def test_objects_that_are_not_models_raise(model):
    for function in (lambda m: kerasreg.attach(m, {"": L1()}), kerasreg.detach):
        with pytest.raises(ValueError, match="model"):
            function(model)
