"""Advice about ineffective penalties: which models get a warning, and which do not."""

import re
import warnings
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops
from problems import diabetes, linear

import kerasreg
from kerasreg._proximal.advice import ADVISERS, Deaths, advice
from kerasreg._proximal.coupled import GroupOfProducers
from kerasreg.callbacks import CoupledGroupLasso, PenaltySchedule, ProximalGradient
from kerasreg.regularizers import L0, L1, L2, GroupLasso, HoyerSquare

SPARSE = {"kernel_regularizer": L1(0.1)}
SMALL = {"kernel_regularizer": L2(0.1)}


def dense(name, units=4, **kwargs):
    return layers.Dense(units, name=name, **{"activation": "relu", **kwargs})


def conv(name, **kwargs):
    return layers.Conv2D(4, 3, padding="same", name=name, **kwargs)


def sequential(*stack, shape=(10,)):
    return keras.Sequential([keras.Input(shape), *stack])


def image(*stack):
    return sequential(*stack, shape=(8, 8, 3))


def frozen(layer):
    layer.trainable = False
    return layer


def residual(inner=SPARSE, **kwargs):
    inputs = keras.Input((10,))
    x = dense("first", **SPARSE)(inputs)
    x = layers.Add()([x, dense("inner", **inner, **kwargs)(x)])
    return keras.Model(inputs, dense("last")(x))


def added_to_the_input():
    inputs = keras.Input((10,))
    x = layers.Add()([inputs, dense("first", 10, **SPARSE)(inputs)])
    return keras.Model(inputs, dense("last")(x))


def two_heads(**kwargs):
    inputs = keras.Input((10,))
    x = dense("first", **SPARSE)(inputs)
    return keras.Model(inputs, [dense("a")(x), dense("b", **kwargs)(x)])


def read_by_the_output():
    inputs = keras.Input((10,))
    x = dense("first", **SPARSE)(inputs)
    return keras.Model(inputs, [x, dense("last")(x)])


def siamese(**kwargs):
    a, b = keras.Input((10,)), keras.Input((10,))
    shared = sequential(dense("shared", **SPARSE), layers.Dropout(0.5))
    both = layers.Concatenate()([shared(a), shared(b)])
    return keras.Model([a, b], dense("last", **kwargs)(both))


def between(*stack):
    return sequential(dense("first", **{**SPARSE, "activation": None}), *stack, dense("last"))


EVADED = {
    "two layers": (lambda: sequential(dense("a", **SPARSE), dense("b")), "a/kernel (by b)"),
    "groups": (
        lambda: sequential(dense("a", kernel_regularizer=GroupLasso(0.1)), dense("b")),
        "a/kernel (by b)",
    ),
    "the L1 of Keras": (
        lambda: sequential(dense("a", kernel_regularizer="l1"), dense("b")),
        "a/kernel (by b)",
    ),
    "a softmax at the end": (
        lambda: sequential(dense("a", **SPARSE), dense("b", activation="softmax")),
        "a/kernel (by b)",
    ),
    "the last of several penalties": (
        lambda: sequential(dense("a", **SPARSE), dense("b", **SPARSE), dense("c")),
        "b/kernel (by c)",
    ),
    "pooling": (
        lambda: image(
            conv("a", **SPARSE),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            dense("b"),
        ),
        "a/kernel (by b)",
    ),
    "batch normalization": (
        lambda: image(conv("a", **SPARSE), layers.BatchNormalization(name="norm"), conv("b")),
        "a/kernel (by norm)",
    ),
    "layer normalization": (
        lambda: between(layers.LayerNormalization(name="norm")),
        "first/kernel (by norm)",
    ),
    "embedding": (
        lambda: sequential(
            layers.Embedding(9, 4, embeddings_regularizer=L1(0.1), name="a"),
            layers.Flatten(),
            dense("b"),
            shape=(3,),
        ),
        "a/embeddings (by b)",
    ),
    "nested": (
        lambda: sequential(sequential(dense("a", **SPARSE)), layers.ReLU(), dense("b")),
        "a/kernel (by b)",
    ),
    "shared": (siamese, "shared/kernel (by last)"),
    "residual": (residual, "first/kernel (by last)"),
    "two readers": (two_heads, "first/kernel (by a, b)"),
    "leaky": (lambda: between(layers.LeakyReLU()), "first/kernel (by last)"),
}
for _activation in ("linear", "relu", "leaky_relu"):
    EVADED[_activation] = (
        lambda activation=_activation: between(layers.Activation(activation)),
        "first/kernel (by last)",
    )


def through(function, first=SPARSE, shape=(10,), **kwargs):
    """A penalised layer, a function of its output and the input, and a layer after it."""
    inputs = keras.Input(shape)
    x = dense("first", **first)(inputs)
    return keras.Model(inputs, dense("last", **kwargs)(function(x, inputs)))


def gated(x, inputs):
    return x * dense("gate", activation="sigmoid")(inputs)


def gated_by_itself(x, _):
    return x * ops.sigmoid(dense("gate", activation=None)(x))


def normalized(x, _):
    return ops.normalize(x, axis=-1)


def operators_in_a_nested_model(x, _):
    inputs = keras.Input((4,))
    nested = keras.Model(inputs, [ops.relu(-inputs), inputs[:, ::2] / 2.0])
    return ops.concatenate(nested(x), axis=-1)


OPERATORS = {
    "x + layer(x)": lambda x, _: x + dense("other", **SPARSE)(x),
    "relu": lambda x, _: ops.relu(x),
    "a negative number": lambda x, _: -2.0 * x,
    "a division": lambda x, _: x / np.full((1, 4), 3.0, "float32"),
    "a difference and a sum": lambda x, _: x - ops.flip(x, axis=-1) + ops.abs(x),
    "concatenate": lambda x, _: ops.concatenate([x, ops.leaky_relu(x)], axis=-1),
    "reshape and mean": lambda x, _: ops.mean(ops.reshape(x, (-1, 2, 2)), axis=1),
    "transpose": lambda x, _: ops.transpose(ops.reshape(x, (-1, 2, 2)), (0, 2, 1))[:, 0],
    "max and min": lambda x, _: ops.max(x, axis=-1, keepdims=True) + ops.minimum(x, 0.0),
    "items": lambda x, _: ops.stack([x[:, 0], x[:, -1]], axis=-1),
    "several outputs": lambda x, _: ops.multiply(*ops.split(x, 2, axis=-1)[:1], 3.0),
    "where": lambda x, _: ops.where(x > 0, x, 0.1 * x),
    "matmul": lambda x, _: ops.matmul(x, np.ones((4, 3), "float32")),
    "a gate": gated,
    "a gate as a layer": lambda x, i: layers.Multiply()([x, dense("gate")(i)]),
    "a gate computed from the output": gated_by_itself,
    "rescaling": lambda x, _: layers.Rescaling(0.5)(x),
    "a cast": lambda x, _: ops.cast(x, "float16"),
    "a nested model": operators_in_a_nested_model,
}
BREAKS = {
    "the input is added": lambda x, i: x + i[:, :4],
    "a number is added": lambda x, _: x + 1.0,
    "one minus": lambda x, _: 1.0 - x,
    "a square": lambda x, _: x * x,
    "a quotient": lambda x, _: 1.0 / x,
    "a bound": lambda x, _: ops.clip(x, 0.0, 6.0),
    "a floor": lambda x, _: ops.maximum(x, 1.0),
    "tanh": lambda x, _: ops.tanh(x),
    "softmax": lambda x, _: ops.softmax(x),
    "exp": lambda x, _: ops.exp(x),
    "an offset": lambda x, _: layers.Rescaling(0.5, 0.5)(x),
    "concatenated with the input": lambda x, i: ops.concatenate([x, i], axis=-1),
    "a gate with a penalty": lambda x, _: x * dense("gate", **SMALL)(x),
    "also read by a frozen layer": lambda x, _: x * frozen(dense("gate", activation="tanh"))(x),
    "an unknown layer": lambda x, _: layers.Lambda(ops.sin)(x) + x,
}
for _name, _function in OPERATORS.items():
    EVADED[f"operators: {_name}"] = (partial(through, _function), "first/kernel")


FINE = {
    "one layer": lambda: linear(10, L1(0.1)),
    "all layers have a penalty": lambda: sequential(dense("a", **SPARSE), dense("b", **SPARSE)),
    "the next layer has L2": lambda: sequential(dense("a", **SPARSE), dense("b", **SMALL)),
    "the next layer is frozen": lambda: sequential(dense("a", **SPARSE), frozen(dense("b"))),
    "the next layer has a constraint": lambda: sequential(
        dense("a", **SPARSE), dense("b", kernel_constraint="max_norm")
    ),
    "only the last layer has a penalty": lambda: sequential(dense("a"), dense("b", **SPARSE)),
    "all layers have a penalty, with normalization": lambda: image(
        conv("a", **SPARSE), layers.BatchNormalization(), layers.ReLU(), conv("b", **SPARSE)
    ),
    "a frozen normalization": lambda: image(
        conv("a", **SPARSE), frozen(layers.BatchNormalization()), conv("b")
    ),
    "an L2 penalty": lambda: sequential(dense("a", **SMALL), dense("b")),
    "a penalty that does not depend on the scale": lambda: sequential(
        dense("a", kernel_regularizer=L0(0.1)), dense("b")
    ),
    "a penalty without a prox": lambda: sequential(
        dense("a", kernel_regularizer=HoyerSquare(0.1)), dense("b")
    ),
    "a factor of 0": lambda: sequential(dense("a", kernel_regularizer=L1(0.0)), dense("b")),
    "one of two next layers has a penalty": lambda: two_heads(**SMALL),
    "an output of the model": read_by_the_output,
    "added to the input": added_to_the_input,
    "a residual branch with tanh": lambda: residual(activation="tanh"),
    "relu6": lambda: between(layers.ReLU(max_value=6)),
    "an activation layer": lambda: between(layers.Activation("gelu")),
    "a Lambda layer": lambda: between(layers.Lambda(keras.ops.sin)),
    "shared, with a penalty after it": lambda: siamese(**SMALL),
}
for _name, _function in BREAKS.items():
    FINE[f"operators: {_name}"] = partial(through, _function)
for _name in ("x + layer(x)", "a gate", "relu"):
    FINE[f"operators: {_name}, a penalty after it"] = partial(
        through, OPERATORS[_name], kernel_regularizer=L2(0.1)
    )
for _activation in ("tanh", "sigmoid", "gelu", "elu", "softmax"):
    FINE[_activation] = lambda activation=_activation: sequential(
        dense("a", **{**SPARSE, "activation": activation}), dense("b")
    )


@pytest.mark.parametrize(("build", "pair"), EVADED.values(), ids=EVADED)
def test_a_penalty_that_the_next_layer_can_evade_is_warned_about(build, pair):
    text = advice(build())
    assert "evaded without zeros" in text
    assert pair in text
    assert text.count("(by") == 1


@pytest.mark.parametrize("build", FINE.values(), ids=FINE)
def test_other_models_get_no_warning(build):
    assert advice(build()) is None


def test_rescaling_the_weights_of_a_warning_keeps_the_outputs():
    """The layers of the residual network are scaled down together, and the next layer up."""
    model = residual()
    first, _, _, last = (layer for layer in model.layers if layer.name != "input_layer")
    x = np.random.default_rng(0).normal(size=(5, 10)).astype("float32")
    before = np.asarray(keras.ops.convert_to_numpy(model(x)))
    for variable in first.trainable_variables:
        variable.assign(0.25 * variable)
    last.kernel.assign(4.0 * last.kernel)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), before, rtol=1e-5, atol=1e-6)


def test_models_with_weight_decay_get_no_warning():
    model = sequential(dense("a", **SPARSE), dense("b"))
    model.compile(keras.optimizers.AdamW(1e-3), "mse")
    assert advice(model) is None
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    assert advice(model) is not None


def test_a_subclassed_model_gets_no_warning():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = dense("a", **SPARSE), dense("b")

        def call(self, x):
            return self.b(self.a(x))

    model = Net()
    model(np.ones((2, 10), "float32"))
    assert advice(model) is None


def test_a_sparse_penalty_of_a_bias_is_warned_about():
    model = sequential(dense("a", bias_regularizer=L1(0.1), **SPARSE))
    assert "A sparsity-inducing penalty is on sequential/a/bias." in advice(model)
    assert advice(sequential(dense("a", bias_regularizer=L2(0.1), **SPARSE))) is None


def test_sparse_penalties_of_normalizations_are_warned_about():
    stack = conv("a"), layers.BatchNormalization(name="norm"), layers.ReLU(), conv("b")
    model = image(*stack)
    kerasreg.attach(model, {".*": L1(0.1)})
    text = advice(model)
    for path in ("a/bias", "norm/gamma", "norm/beta", "b/bias"):
        assert path in text
    kerasreg.detach(model)
    # A penalty of `gamma` alone is a known way to prune channels.
    kerasreg.attach(model, {"gamma": L1(0.1)})
    assert advice(model) is None


def test_long_lists_are_shortened():
    pairs = [(dense(f"a{i}", bias_regularizer=L1(0.1), **SPARSE), dense(f"b{i}")) for i in range(8)]
    text = advice(sequential(*[layer for pair in pairs for layer in pair]))
    assert text.count("(by") == 5
    assert "a4/kernel (by b4), 3 more. " in text
    assert "a4/bias, 3 more. " in text


def test_fit_warns_once_at_the_start():
    x, y = diabetes()
    model = sequential(dense("a", bias_regularizer=L1(1e-3), **SPARSE), dense("b", 1))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    with pytest.warns(UserWarning, match=r"a/kernel \(by b\).*a/bias") as caught:
        model.fit(x, y, epochs=2, verbose=0, callbacks=[ProximalGradient()])
    assert len([each for each in caught if each.category is UserWarning]) == 1


def test_fit_warns_once_when_every_weight_of_a_layer_is_zero():
    x, y = diabetes()
    model = linear(10, L1(10.0))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    with pytest.warns(UserWarning, match=r"After epoch 1 .*/dense/kernel: .*Lower") as caught:
        model.fit(x, y, epochs=3, verbose=0, callbacks=[ProximalGradient()])
    assert len([each for each in caught if each.category is UserWarning]) == 1


def test_variables_that_were_zero_before_training_are_not_reported():
    a, b = keras.Variable(np.ones((2, 2))), keras.Variable(np.zeros(2))
    deaths = Deaths.of_variables([a, b])
    assert deaths.since_last(0) is None
    b.assign(np.ones(2))
    b.assign(np.zeros(2))
    assert deaths.since_last(1) is None
    a.assign([[0.0, 0.0], [0.0, np.nan]])
    assert deaths.since_last(2) is None
    a.assign(np.zeros((2, 2)))
    assert f"After epoch 4 every weight is zero in {a.path}:" in deaths.since_last(3)
    assert deaths.since_last(4) is None


def test_rescaling_the_weights_of_a_warning_keeps_the_outputs_with_operators():
    x = np.random.default_rng(0).normal(size=(5, 10)).astype("float32")
    for name, function in OPERATORS.items():
        model = through(function)
        absorbers = re.search(r"first/kernel[^(]*\(by (.*?)\)", advice(model))[1].split(", ")
        before = keras.ops.convert_to_numpy(model(x))
        for layer in model.layers:
            if layer.name == "first":
                for variable in layer.trainable_variables:
                    variable.assign(0.25 * variable)
            if layer.name in absorbers:
                layer.kernel.assign(4.0 * layer.kernel)
        after = keras.ops.convert_to_numpy(model(x))
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6, err_msg=name)


def transformer_with_operators():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 4, name="ids")(inputs)
    x = x * 2.0 + layers.Embedding(5, 4, name="places")(ops.arange(5))
    attention = layers.MultiHeadAttention(2, 2, kernel_regularizer=L1(1e-3), name="attention")
    x = x + attention(x, x)
    x = x + dense("down", activation=None, **SPARSE)(ops.gelu(dense("up", 6, **SPARSE)(x)))
    return keras.Model(inputs, dense("head", 1, activation=None)(ops.mean(x, axis=1)))


@pytest.mark.parametrize("make", [transformer_with_operators, lambda: through(gated)])
def test_operators_after_a_penalised_layer_do_not_stop_a_fit(make):
    model = make()
    model.compile("sgd", "mse")
    x, y = np.ones((4, *model.input_shape[1:])), np.ones((4, *model.output_shape[1:]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, verbose=0, callbacks=[ProximalGradient()])
    texts = [str(each.message) for each in caught if each.category is not DeprecationWarning]
    assert not [text for text in texts if "failed" in text], texts


def broken(*_):
    raise AttributeError("'Add' object has no attribute 'trainable'")


def test_an_adviser_that_raises_gives_a_warning(monkeypatch):
    monkeypatch.setattr("kerasreg._proximal.advice.ADVISERS", [broken, *ADVISERS])
    model = sequential(dense("a", **SPARSE), dense("b", 1))
    model.compile("sgd", "mse")
    with pytest.warns() as caught:
        text = advice(model)
    assert "a/kernel (by b)" in text
    assert "A check of the penalties failed" in str(caught[0].message)
    assert "no attribute 'trainable'" in str(caught[0].message)


def test_advice_and_logs_that_raise_do_not_change_the_training(monkeypatch):
    x, y = diabetes()

    def train(*callbacks):
        keras.utils.set_random_seed(0)
        model = sequential(dense("a", **SPARSE), dense("b", 1))
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        with pytest.warns():
            history = model.fit(x, y, epochs=2, verbose=0, callbacks=list(callbacks))
        return history.history["loss"]

    def all_of_them():
        schedule, coupled = PenaltySchedule(lambda step: 0.5), CoupledGroupLasso(1e-3)
        return [schedule, coupled, ProximalGradient()]

    expected = train(*all_of_them())
    monkeypatch.setattr("kerasreg._proximal.advice.ADVISERS", [broken])
    monkeypatch.setattr("kerasreg._proximal.advice._has_weights", broken)
    monkeypatch.setattr(GroupOfProducers, "has_weights", broken)
    monkeypatch.setattr("kerasreg._callbacks.session_callback.nonfinite_paths", broken)
    assert train(*all_of_them()) == expected
