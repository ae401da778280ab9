"""A regularizer that is set after a layer was built has no effect, and a warning says so."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._attach.unused import on_unused_regularizers
from kerasreg._proximal.advice import advice
from kerasreg.callbacks import ProximalGradient
from kerasreg.regularizers import L1, GroupLasso


def stacked(*stack, shape=(6,)):
    model = keras.Sequential([keras.Input(shape), *stack], name="net")
    model.compile("sgd", "mse")
    return model


SET_LATER = {
    "kernel": (lambda: layers.Dense(2), (6,), "kernel_regularizer", "kernel"),
    "bias": (lambda: layers.Dense(2), (6,), "bias_regularizer", "bias"),
    "recurrent": (lambda: layers.LSTM(2), (3, 6), "recurrent_regularizer", "recurrent_kernel"),
    "depthwise": (
        lambda: layers.SeparableConv1D(2, 2),
        (4, 3),
        "depthwise_regularizer",
        "depthwise_kernel",
    ),
    "pointwise": (
        lambda: layers.SeparableConv1D(2, 2),
        (4, 3),
        "pointwise_regularizer",
        "pointwise_kernel",
    ),
    "depthwise alone": (
        lambda: layers.DepthwiseConv1D(2),
        (4, 3),
        "depthwise_regularizer",
        "kernel",
    ),
    "gamma": (lambda: layers.BatchNormalization(), (6,), "gamma_regularizer", "gamma"),
    "beta": (lambda: layers.LayerNormalization(), (6,), "beta_regularizer", "beta"),
    "embeddings": (lambda: layers.Embedding(4, 2), (3,), "embeddings_regularizer", "embeddings"),
    "einsum": (
        lambda: layers.EinsumDense("ab,bc->ac", 2),
        (6,),
        "kernel_regularizer",
        "kernel",
    ),
}


@pytest.mark.parametrize("name", SET_LATER)
def test_a_regularizer_set_after_build_is_reported(name):
    make, shape, attribute, variable = SET_LATER[name]
    layer = make()
    inner = stacked(layer, shape=shape)
    x = keras.Input(shape)
    model = keras.Model(x, inner(x))
    assert on_unused_regularizers(model) is None
    owner = getattr(layer, "cell", layer)
    for value in ("l1", keras.regularizers.L2(0.1), L1(0.1)):
        setattr(owner, attribute, value)
        text = on_unused_regularizers(model)
        assert f"/{variable} trains with none, {attribute} is " in text
        assert "kerasreg.attach(model" in text
    # The text names the functions that help.
    owner_path = next(v.path for v in model.trainable_variables if v.name == variable)
    kerasreg.attach(model, {owner_path: L1(0.1)})
    assert on_unused_regularizers(model) is None
    setattr(owner, attribute, None)
    assert f"/{variable} trains with L1(l1=0.1), {attribute} is none" in (
        on_unused_regularizers(model)
    )


def test_a_regularizer_set_before_build_or_an_equal_one_is_not_reported():
    layer = layers.Dense(2)
    layer.kernel_regularizer = keras.regularizers.L1(0.1)
    model = stacked(layer)
    assert on_unused_regularizers(model) is None
    layer.kernel_regularizer = keras.regularizers.L1(0.1)
    assert on_unused_regularizers(model) is None
    layer.kernel_regularizer = keras.regularizers.L1(0.2)
    assert "trains with L1, kernel_regularizer is L1" in on_unused_regularizers(model)


def test_supported_uses_are_not_reported():
    shared = layers.Dense(6, kernel_regularizer=GroupLasso(0.1, axis=-1), name="shared")
    attention = layers.MultiHeadAttention(2, 3, kernel_regularizer="l1")
    x = keras.Input((4, 6))
    y = shared(shared(x))
    y = layers.Bidirectional(layers.GRU(3, recurrent_regularizer="l2"))(attention(y, y))
    model = keras.Model(x, layers.Dense(2, kernel_regularizer="orthogonal_regularizer")(y))
    assert on_unused_regularizers(model) is None
    kerasreg.attach(model, {"query/kernel|gru.*kernel": L1(0.1)})
    assert on_unused_regularizers(model) is None
    kerasreg.detach(model)
    assert on_unused_regularizers(keras.models.clone_model(model)) is None

    model = stacked(layers.Dense(8, kernel_regularizer="l1", bias_regularizer="l1"))
    model.layers[0].enable_lora(2)
    assert on_unused_regularizers(model) is None
    model = stacked(layers.Dense(8, kernel_regularizer="l1", dtype="mixed_bfloat16"))
    model.layers[0].quantize("int8")
    assert on_unused_regularizers(model) is None


def test_fit_warns_about_unused_regularizers():
    x, y = np.ones((4, 6)), np.ones((4, 2))
    model = stacked(layers.Dense(2, kernel_regularizer=L1(0.01), name="a"))
    model.layers[0].bias_regularizer = L1(0.1)
    with pytest.warns(UserWarning, match=r"net/a/bias trains with none.*kerasreg.attach") as found:
        model.fit(x, y, verbose=0, callbacks=[ProximalGradient()])
    assert next(each for each in found if each.category is UserWarning).filename == __file__
    assert "a/bias" in advice(model)
    model = stacked(layers.Dense(2, name="a"))
    model.layers[0].kernel_regularizer = L1(0.1)
    with pytest.warns(UserWarning, match="net/a/kernel trains with none"):
        model.fit(x, y, verbose=0, callbacks=[kerasreg.callbacks.SparsityLogger(log_dir=False)])
    message = r"no regularizer at all.*of their layers: net/a/kernel trains with none"
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0, callbacks=[ProximalGradient()])
