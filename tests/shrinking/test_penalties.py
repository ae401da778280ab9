"""A model made by `shrink` has the penalties of the original."""

import architectures
import keras
import numpy as np
import pytest
from attached import penalty
from keras import layers, ops
from shrinkable import dense, kill, randomize

import kerasreg
from kerasreg.regularizers import L1, L1SP, L2, L2SP, GroupLasso, WeightedL1


@keras.saving.register_keras_serializable("tests")
class Mix(layers.Layer):
    """A user-defined layer with sublayers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.EinsumDense("bi,io->bo", output_shape=(4,), name="inner")
        self.norm = layers.LayerNormalization(name="norm")
        self.scale = architectures.Scale(name="scale")

    def build(self, shape):
        for layer in (self.inner, self.norm, self.scale):
            layer.build(shape)

    def call(self, x):
        return self.scale(self.norm(self.inner(x)))


def everything():
    """Layers whose configs have no argument for some regularizers, also in a nested model."""
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, name="mha")(inputs, inputs)
    x = layers.GroupQueryAttention(2, 4, 2, name="gqa")(x, x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(x)
    x = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True, name="stack")(x)
    x = layers.TimeDistributed(layers.Dense(3), name="steps")(x)
    inner = keras.Model(inputs, layers.BatchNormalization(name="norm")(x), name="inner")
    x = layers.Flatten()(inner(inputs))
    x = layers.Dense(8, "relu", name="wide")(x)
    x = Mix(name="mix")(layers.Dense(4, name="hidden")(x))
    x = layers.SpectralNormalization(layers.Dense(3), name="spectral")(x)
    return randomize(keras.Model(inputs, x, name="outer"))


def l1_of(model):
    total = sum(np.abs(np.asarray(ops.convert_to_numpy(v), "float64")).sum() for v in model)
    return 0.01 * float(total)


def test_every_variable_of_every_kind_of_layer_keeps_its_attached_regularizer(tmp_path):
    model = everything()
    plain = type(model)
    kill(model, "wide", 3)
    kerasreg.attach(model, {".": L1(0.01)})
    small, report = kerasreg.shrink(model)
    assert report.parameters_after < report.parameters_before
    assert all(v.regularizer is not None for v in small.trainable_variables)
    assert penalty(small) == pytest.approx(l1_of(small.trainable_variables), rel=1e-5)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert penalty(loaded) == pytest.approx(penalty(small), rel=1e-6)
    assert kerasreg.detach(small).keys() == {v.path for v in small.trainable_variables}
    assert not small.losses
    assert type(small) is plain
    assert penalty(model) == pytest.approx(l1_of(model.trainable_variables), rel=1e-5)


def test_a_group_lasso_of_heads_survives_shrink_and_shrink_to():
    model = randomize(architectures.attention())
    kerasreg.attach(model, {"query/kernel": GroupLasso(0.1, axis="head")})
    before = penalty(model)
    small, _ = kerasreg.shrink(model)
    assert penalty(small) == pytest.approx(before, rel=1e-6)
    assert before > 0.1
    small, _ = kerasreg.shrink_to(model, params=0.6)
    kernel = np.asarray(ops.convert_to_numpy(small.layers[-1]._query_dense.kernel), "float64")
    norms = np.sqrt((kernel**2).sum(axis=(0, 2)) * kernel[:, 0].size)
    assert kernel.shape != (4, 2, 3)
    assert penalty(small) == pytest.approx(0.1 * norms.sum(), rel=1e-5)


def test_arrays_of_penalties_are_sliced_like_the_weights():
    model = dense()
    kill(model, "a", 3)
    start = {v.path: np.array(ops.convert_to_numpy(v), "float64") for v in model.weights}
    factors = np.random.default_rng(1).uniform(size=(8, 5))
    kerasreg.attach(
        model,
        {
            "a/kernel": L2SP(0.5),
            "b/kernel": WeightedL1(0.3, weights=factors),
            "a/bias": WeightedL1(0.2),
            "b/bias": L1SP(0.7),
        },
    )
    a, b, c = model.layers
    a.kernel.assign(ops.where(ops.equal(a.kernel, 0), 0.0, a.kernel + 0.25))
    b.bias.assign(b.bias + 1.0)
    c.kernel.regularizer = L2(0.1)  # Assigned directly: no config contains it.
    small, _ = kerasreg.shrink(model)
    assert small.layers[0].units == 5
    wide = {v.path: np.array(ops.convert_to_numpy(v), "float64") for v in model.weights}
    expected = [
        0.5 * np.square(wide["dense/a/kernel"] - start["dense/a/kernel"])[:, 3:].sum(),
        0.3 * (factors * np.abs(wide["dense/b/kernel"]))[3:].sum(),
        0.2 * (np.abs(wide["dense/a/bias"][3:]) / np.abs(start["dense/a/bias"][3:])).sum(),
        0.7 * np.abs(wide["dense/b/bias"] - start["dense/b/bias"]).sum(),
        0.1 * np.square(wide["dense/c/kernel"]).sum(),
    ]
    losses = [float(ops.convert_to_numpy(each)) for each in small.losses]
    assert sorted(losses) == pytest.approx(sorted(expected), rel=1e-5)
    again = keras.models.model_from_json(small.to_json())
    again.set_weights(small.get_weights())
    assert penalty(again) == pytest.approx(sum(expected), rel=1e-5)


def test_references_change_like_weights_that_are_rescaled_or_absorb_constants():
    # With a smaller key size, the query is rescaled.
    model = randomize(architectures.attention())
    layer = model.layers[-1]
    for projection in (layer._query_dense, layer._key_dense):
        for variable in projection.weights:
            value = np.array(ops.convert_to_numpy(variable))
            value[..., :1] = 0
            variable.assign(value)
    kerasreg.attach(model, {"(query|key)/kernel": L2SP(0.5)})
    small, _ = kerasreg.shrink(model)
    assert small.layers[-1].key_dim == 2
    assert penalty(small) == pytest.approx(0, abs=1e-10)
    # Constant units before a convolution with zero padding are merged into one that stays.
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="a")(inputs)
    model = keras.Model(inputs, layers.Conv2D(3, 3, padding="same", name="b")(x))
    kill(randomize(model), "a", 3, bias=False)
    model.get_layer("a").bias.assign(np.arange(1.0, 7.0))
    kerasreg.attach(model, {"b/kernel": L2SP(0.5)})
    small, _ = kerasreg.shrink(model)
    assert small.get_layer("a").filters == 4
    assert penalty(small) == pytest.approx(0, abs=1e-9)


def test_the_array_in_the_regularizer_of_a_layer_is_sliced_too():
    regularizer = L2SP(0.5, reference=np.arange(24.0).reshape(3, 8))
    first = layers.Dense(8, name="first", kernel_regularizer=regularizer)
    model = randomize(keras.Sequential([keras.Input((3,)), first, layers.Dense(2)]))
    kill(model, "first", 5)
    small, _ = kerasreg.shrink(model)
    kernel = np.asarray(ops.convert_to_numpy(small.layers[0].kernel), "float64")
    expected = 0.5 * np.square(kernel - regularizer._array[:, 5:]).sum()
    assert penalty(small) == pytest.approx(expected, rel=1e-6)
    assert penalty(keras.models.clone_model(small)) > 0


def test_a_penalty_that_fails_for_fewer_weights_is_dropped_with_a_warning():
    array = np.ones((6, 8), "float32")
    model = dense()
    kill(model, "a", 3)
    model.layers[0].kernel.regularizer = lambda weights: ops.sum(weights * array)
    with pytest.warns(UserWarning, match=r"no penalty on variables .*a/kernel"):
        small, _ = kerasreg.shrink(model)
    assert not small.losses
