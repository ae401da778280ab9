"""`shrink` of models with masks: a constant unit can have another value at masked steps."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from precision import ROUNDING
from shrinkable import kill, randomize, zero_units

import kerasreg

#: Layers that combine two tensors `(batch, steps, 6)`, whose units 0 to 2 are constant.
JOINS = [
    *(layers.Maximum, layers.Minimum, layers.Multiply, layers.Add, layers.Average),
    *(layers.Subtract, layers.Concatenate),
    lambda: lambda xs: layers.Attention()(xs),
    lambda: lambda xs: layers.Attention(use_scale=True)([xs[1], xs[0], xs[1]]),
    lambda: lambda xs: layers.AdditiveAttention()(xs),
    lambda: lambda xs: layers.MultiHeadAttention(2, 3, dropout=0.1, name="heads")(*xs),
    lambda: lambda xs: layers.MultiHeadAttention(2, 3, name="heads")(*xs[::-1]),
    lambda: lambda xs: layers.GroupQueryAttention(2, 4, 2, dropout=0.1)(*xs),
    lambda: lambda xs: layers.LSTM(4, return_sequences=True)(xs[0]) * xs[1][..., :4],
    lambda: lambda xs: layers.Bidirectional(layers.GRU(4))(xs[0]),
    lambda: lambda xs: layers.RNN(layers.SimpleRNNCell(4), return_sequences=True)(xs[0]),
    lambda: lambda xs: layers.GlobalAveragePooling1D()(xs[0]),
    lambda: lambda xs: layers.TimeDistributed(layers.Dense(4, "relu"))(xs[0]),
    lambda: lambda xs: layers.Maximum()([layers.BatchNormalization()(xs[0]), xs[1]]),
    lambda: lambda xs: layers.Maximum()([layers.Dropout(0.5)(xs[0]), ops.tanh(xs[1])]),
    lambda: lambda xs: layers.Maximum()([ops.cast(xs[0], xs[1].dtype), ops.tanh(xs[1])]),
    lambda: lambda xs: layers.Minimum()([layers.LayerNormalization()(xs[1]), xs[0]]),
    lambda: lambda xs: layers.Softmax()(ops.matmul(xs[0], ops.transpose(xs[1], (0, 2, 1)))),
    lambda: lambda xs: _inside(layers.Maximum())(xs),
    lambda: lambda xs: _inside(layers.Attention())(xs),
]


def _inside(layer):
    """A nested model: the inputs of its graph have no mask."""
    inputs = [keras.Input((5, 6)), keras.Input((5, 6))]
    return keras.Model(inputs, layer(inputs))


def _model(join, source, zero):
    x = keras.Input((5,), dtype="int32") if source == "table" else keras.Input((5, 4))
    if source == "table":
        y = layers.Embedding(9, 4, mask_zero=True)(x)
    elif source == "behind":
        y = layers.Masking(0.0)(ops.relu(x))
    else:
        y = layers.Masking(-1.0)(x)
    a = layers.Dense(6, name="a")(y)
    b = layers.Dense(6, name="b")(y if source == "behind" else ops.sin(ops.stop_gradient(y)))
    y = join()([a, b])
    model = randomize(keras.Model(x, layers.Dense(3, name="end")(y)))
    names = {layer.name for layer in model.layers}
    for name, sign in (("a", 1), ("b", -1)):
        if name not in names:
            continue
        kill(model, name, 3)
        bias = sign * np.array([1.0, -1, 0.5, 0.5, -1, 1])
        model.get_layer(name).bias.assign(np.where(np.arange(6) < 3, bias * (not zero), bias))
    for layer in model.layers:
        if isinstance(layer, (layers.MultiHeadAttention, layers.GroupQueryAttention)):
            zero_units(layer._value_dense, 2, ["kernel"])
    return model


def _inputs(source):
    """Returns masked and unmasked steps: all masked in sample 0, none in sample 1."""
    rng = np.random.default_rng(11)
    hidden = rng.random((8, 5)) < 0.4
    hidden[0], hidden[1] = True, False
    if source == "table":
        return np.where(hidden, 0, rng.integers(1, 9, (8, 5)))
    value = -1.0 if source == "front" else -abs(rng.normal(size=(8, 5, 4)))
    return np.where(hidden[..., None], value, rng.normal(size=(8, 5, 4)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["table", "front", "behind"])
def test_shrink_keeps_the_outputs_at_masked_steps(widest, source):
    inputs = _inputs(source)
    for place, join in enumerate(JOINS):
        # Constants other than 0 in every case; with "table", zeros too in every second case.
        for zero in (False, True)[: 1 + (source == "table") * place % 2]:
            model = _model(join, source, zero)
            small, _ = kerasreg.shrink(model)
            old, new = (ops.convert_to_numpy(m(inputs, training=False)) for m in (model, small))
            scale = np.nanmax(np.abs(old))
            np.testing.assert_allclose(
                new, old, rtol=0, atol=ROUNDING * scale, err_msg=f"{place} {zero}"
            )


def test_constant_units_are_removed_where_there_is_no_mask(widest):
    for join in (layers.Maximum, layers.Minimum, layers.Multiply):
        x = keras.Input((5, 4))
        y = join()([layers.Dense(6, name="a")(x), layers.Dense(6, name="b")(x)])
        model = randomize(keras.Model(x, layers.Dense(3)(y)))
        for name in ("a", "b"):
            kill(model, name, 3, bias=False)
        small, _ = kerasreg.shrink(model)
        assert small.get_layer("a").units == 3


class Shown(layers.Layer):
    """A user-defined layer that returns 1 at masked steps."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, mask=None):
        return x if mask is None else ops.where(mask[..., None], x, 1.0)


def test_shrink_keeps_the_outputs_of_a_user_layer_that_uses_its_mask(widest):
    kerasreg.shrinking.rule_for(Shown)(kerasreg.shrinking.Elementwise)
    model = _model(lambda: lambda xs: Shown()(xs[0]), "table", True)
    small, _ = kerasreg.shrink(model)
    inputs = _inputs("table")
    old, new = (ops.convert_to_numpy(m(inputs, training=False)) for m in (model, small))
    np.testing.assert_allclose(new, old, rtol=0, atol=ROUNDING * np.abs(old).max())
