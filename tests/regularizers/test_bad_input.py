"""Invalid arguments of penalties raise a `ValueError` with expected and received values."""

import inspect
import re

import keras
import numpy as np
import pytest

import kerasreg
from kerasreg.regularizers import (
    L0,
    L1,
    L1L2,
    L1SP,
    L2,
    L2SP,
    MCP,
    SCAD,
    CappedL1,
    GroupLasso,
    LogSum,
    Lp,
    NonNegativeL1,
    NuclearNorm,
    Rank,
    SparseGroupLasso,
    TransformedL1,
    WeightedL1,
)
from kerasreg.regularizers.at_build import NamedAxis
from kerasreg.regularizers.group import GroupPenalty

FACTORS = [
    (L1, "l1"),
    (L2, "l2"),
    (L1L2, "l1"),
    (L1L2, "l2"),
    (GroupLasso, "factor"),
    (SparseGroupLasso, "factor"),
    (SparseGroupLasso, "l1_ratio"),
    (NonNegativeL1, "l1"),
    (L0, "factor"),
    (CappedL1, "factor"),
    (MCP, "factor"),
    (SCAD, "factor"),
    (Lp, "factor"),
    (LogSum, "factor"),
    (TransformedL1, "factor"),
    (L1SP, "l1"),
    (L2SP, "l2"),
    (WeightedL1, "l1"),
]
#: Numbers that must be larger than another one.
SHAPES = [
    (CappedL1, "theta", 0),
    (MCP, "gamma", 0),
    (SCAD, "a", 2),
    (LogSum, "epsilon", 0),
    (TransformedL1, "a", 0),
    (WeightedL1, "gamma", 0),
]


@pytest.mark.parametrize(("penalty", "name"), FACTORS)
@pytest.mark.parametrize("value", [-1.0, -1e-300, float("nan"), float("inf"), -np.inf])
def test_factors_out_of_range_raise(penalty, name, value):
    message = rf"`{name}` must be a finite number of at least 0.*Received: {name}="
    with pytest.raises(ValueError, match=message):
        penalty(**{name: value})


@pytest.mark.parametrize(("penalty", "name"), FACTORS)
@pytest.mark.parametrize("value", ["0.1", True, False, np.True_, [0.1], 1j, np.ones(2), object()])
def test_factors_that_are_not_numbers_raise(penalty, name, value):
    message = rf"`{name}` must be a finite number of at least 0.*Received: {name}="
    with pytest.raises(ValueError, match=message):
        penalty(**{name: value})


@pytest.mark.parametrize(("penalty", "name"), [each for each in FACTORS if each[0] is not L1L2])
def test_none_as_a_factor_raises(penalty, name):
    with pytest.raises(ValueError, match=rf"`{name}` must be.*Received: {name}=None"):
        penalty(**{name: None})


@pytest.mark.parametrize(("penalty", "name", "least"), SHAPES)
@pytest.mark.parametrize(
    "value",
    [None, "3", True, np.True_, [3.0], 3j, np.ones(2), float("nan"), float("inf"), -1.0, "least"],
    ids=repr,
)
def test_shape_parameters_out_of_range_raise(penalty, name, least, value):
    value = least if isinstance(value, str) and value == "least" else value
    message = rf"`{name}` must be a finite number above {least}\. Received: {name}="
    with pytest.raises(ValueError, match=message):
        penalty(**{name: value})
    assert getattr(penalty(**{name: np.float32(2.5)}), name) == 2.5


def test_an_l1_ratio_above_one_raises():
    with pytest.raises(ValueError, match=r"`l1_ratio` must be.*at most 1.*Received: l1_ratio=1\.5"):
        SparseGroupLasso(0.1, l1_ratio=1.5)


@pytest.mark.parametrize("penalty", [GroupLasso, SparseGroupLasso])
@pytest.mark.parametrize(
    "axis",
    ["units", "", (), [], None, True, (0, True), 1.0, (0, 1.0), np.ones(2), [[0, 1]], {0}, "-1"],
    ids=repr,
)
def test_axes_that_are_not_integers_raise(penalty, axis):
    message = r"`axis` must be an int.*'output', 'input', 'head'.*Received: axis="
    with pytest.raises(ValueError, match=message):
        penalty(axis=axis)


@pytest.mark.parametrize("axis", [(0, 0), (1, 0, 1), (-1, -1)])
def test_duplicate_axes_raise(axis):
    with pytest.raises(ValueError, match=rf"different axes.*Received: axis={re.escape(str(axis))}"):
        GroupLasso(axis=axis)


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, -3), (1, -1)])
def test_missing_axes_raise(axis):
    message = r"different axes.*shape \(4, 3\) are \[0, 1\].*\[-2, -1\].*Received: axis="
    regularizer, weights = GroupLasso(axis=axis), np.ones((4, 3), "float32")
    with pytest.raises(ValueError, match=message):
        regularizer(weights)
    with pytest.raises(ValueError, match=message):
        regularizer.prox(weights, 0.1)


def test_scalar_weights_raise():
    with pytest.raises(ValueError, match=r"shape \(\) are \[\]"):
        GroupLasso(axis=0)(np.float32(1.0))


@pytest.mark.parametrize("gates", [0, -1, 1.5, "4", True, None, (4,)], ids=repr)
def test_invalid_gates_raise(gates):
    with pytest.raises(ValueError, match=r"`gates` must be an int of at least 1.*gates="):
        GroupLasso(axis=-1, gates=gates)


def test_numpy_integers_are_accepted():
    config = GroupLasso(axis=(np.int64(0), np.int32(1))).get_config()
    assert config["axis"] == (0, 1)
    gates = GroupLasso(axis=np.int64(-1), gates=np.int64(4)).get_config()["gates"]
    assert type(gates) is int


@pytest.mark.parametrize("axis", [(0, 1), "output"])
def test_gates_with_several_axes_raise(axis):
    with pytest.raises(ValueError, match=r"`gates` needs a single int `axis`.*gates=4"):
        GroupLasso(axis=axis, gates=4)


def test_gates_that_do_not_divide_the_axis_raise():
    regularizer, weights = GroupLasso(axis=-1, gates=4), np.ones((2, 6), "float32")
    message = r"Axis -1 of weights with shape \(2, 6\) has 6 indices, which 4 gates do not divide"
    with pytest.raises(ValueError, match=message):
        regularizer(weights)
    with pytest.raises(ValueError, match=message):
        regularizer.prox(weights, 0.1)


@pytest.mark.parametrize("role", ["output", "input", "head"])
def test_axis_names_without_attach_raise(role):
    regularizer, weights = GroupLasso(axis=role), np.ones((2, 6), "float32")
    message = rf"`axis='{role}'` is a name that only `kerasreg.attach` can translate.*\[0, 1\]"
    with pytest.raises(ValueError, match=message):
        regularizer(weights)
    with pytest.raises(ValueError, match=message):
        regularizer.prox(weights, 0.1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
    model.layers[0].kernel.regularizer = regularizer
    with pytest.raises(ValueError, match=message):
        _ = model.losses


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 1, 1), (2, 2, 3), (0,)])
def test_steps_of_another_shape_raise(shape):
    for regularizer in (L1(0.1), GroupLasso(0.1)):
        message = rf"`step` must be a scalar or.*\(2, 6\).*Received.*{re.escape(str(shape))}"
        with pytest.raises(ValueError, match=message):
            regularizer.prox(np.ones((2, 6), "float32"), np.ones(shape, "float32"))


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 1), (1, 6), (2, 6)])
def test_steps_that_broadcast_are_accepted(shape):
    weights = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    for regularizer in (L1(0.1), GroupLasso(0.1), SparseGroupLasso(0.1)):
        step = np.full(shape, 2.0, "float32")
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(regularizer.prox(weights, step)),
            keras.ops.convert_to_numpy(regularizer.prox(weights, 2.0)),
            rtol=1e-5,
            atol=1e-6,
        )


def test_the_base_class_is_abstract():
    with pytest.raises(NotImplementedError):
        kerasreg.regularizers.Regularizer()(np.ones(2, "float32"))


@pytest.mark.parametrize("role", ["output", "input", "head"])
def test_an_axis_name_in_a_layer_raises_at_build(role):
    regularizers = kerasreg.regularizers
    penalties = [
        getattr(regularizers, name)
        for name in regularizers.__all__
        if "axis" in inspect.signature(getattr(regularizers, name)).parameters
        and issubclass(getattr(regularizers, name), NamedAxis)
    ]
    assert {GroupLasso, NuclearNorm, Rank} < set(penalties)
    for penalty in penalties:
        layer = keras.layers.Dense(3, kernel_regularizer=penalty(axis=role), name="dense")
        with pytest.raises(ValueError, match=rf"`axis='{role}'`.*only `kerasreg.attach`.*'dense/k"):
            layer.build((None, 4))
    named = GroupLasso(axis=role)
    assert isinstance(named, GroupPenalty)
    assert not isinstance(named, L1)
    for layer, shape in (
        (keras.layers.Dense(3, bias_regularizer=named), (None, 4)),
        (keras.layers.Embedding(3, 2, embeddings_regularizer=named), (None,)),
        (keras.layers.LayerNormalization(gamma_regularizer=named), (None, 4)),
        (keras.layers.LSTM(3, recurrent_regularizer=named), (None, 5, 4)),
        (keras.layers.SeparableConv1D(3, 2, pointwise_regularizer=named), (None, 5, 4)),
        (keras.layers.MultiHeadAttention(2, 3, kernel_regularizer=named), ((2, 5, 4), (2, 5, 4))),
    ):
        with pytest.raises(ValueError, match=r"only `kerasreg.attach` can translate.*pass an int"):
            layer.build(*shape) if isinstance(shape[0], tuple) else layer.build(shape)

    class Custom(keras.layers.Layer):
        def build(self, shape):
            self.mixing = self.add_weight(shape=(shape[-1], 3), regularizer=named, name="mixing")

    with pytest.raises(ValueError, match=r"of 'custom/mixing' with shape \(4, 3\)"):
        Custom(name="custom").build((None, 4))
