"""`recalibrate`: the statistics of BatchNormalization against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (50, 5)).astype("float32")


def numpy(variable):
    return keras.ops.convert_to_numpy(variable)


def one(shape=(5,), **kwargs):
    return keras.Sequential([keras.Input(shape), layers.BatchNormalization(**kwargs)])


def deep():
    """Two normalizations, dropout, and a unit with a large mean and a small variance."""
    model = keras.Sequential([
        keras.Input((5,)),
        layers.Dense(4),
        layers.BatchNormalization(name="first"),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.Dense(3),
        layers.BatchNormalization(name="second"),
    ])  # fmt: skip
    model.layers[0].bias.assign([100.0, 0.0, 0.0, -1.0])
    return model


def assert_statistics(layer, mean, variance, rtol=1e-5):
    np.testing.assert_allclose(numpy(layer.moving_mean), mean, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(numpy(layer.moving_variance), variance, rtol=rtol, atol=1e-6)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, place):
        return X[10 * place : 10 * place + 10], np.zeros(10)


def tf_data():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, np.zeros(50))).batch(8)


def torch_data():
    torch = pytest.importorskip("torch")
    both = torch.utils.data.TensorDataset(torch.tensor(X), torch.zeros(50))
    return torch.utils.data.DataLoader(both, batch_size=8)


@pytest.mark.parametrize("data", [
    lambda: X,
    lambda: (X, np.zeros(50)),
    lambda: keras.ops.convert_to_tensor(X),
    Batches,
    tf_data,
    torch_data,
    lambda: (X[i : i + 7] for i in range(0, 50, 7)),
    lambda: ((X[i : i + 7], None) for i in range(0, 50, 7)),
], ids=["array", "tuple", "tensor", "PyDataset", "tf.data", "torch", "x", "pairs"])  # fmt: skip
def test_statistics_are_the_mean_and_variance_of_all_data(data):
    model = one()
    assert kerasreg.recalibrate(model, data(), batch_size=16) == 1
    assert_statistics(model.layers[0], X.mean(0), X.var(0))


@pytest.mark.parametrize("kind", [list, dict])
def test_inputs_can_be_a_list_or_a_dict(kind):
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    outputs = layers.BatchNormalization()(layers.Concatenate()([a, b]))
    model = keras.Model([a, b] if kind is list else {"a": a, "b": b}, outputs)
    data = [X, 2 * X] if kind is list else {"a": X, "b": 2 * X}
    kerasreg.recalibrate(model, data, batch_size=20)
    both = np.concatenate([X, 2 * X], axis=1)
    assert_statistics(model.layers[-1], both.mean(0), both.var(0))


def test_statistics_of_images_follow_the_axis_of_the_layer():
    images = RNG.normal(1.0, 3.0, (20, 4, 3, 2)).astype("float32")
    for axis, others in ((-1, (0, 1, 2)), (1, (0, 2, 3))):
        model = one((4, 3, 2), axis=axis)
        kerasreg.recalibrate(model, images, batch_size=8)
        assert_statistics(model.layers[0], images.mean(others), images.var(others))


def test_masked_steps_are_excluded():
    steps = RNG.integers(0, 4, (30, 6))
    model = keras.Sequential([
        keras.Input((6,)),
        layers.Embedding(4, 3, mask_zero=True),
        layers.BatchNormalization(),
    ])  # fmt: skip
    kerasreg.recalibrate(model, steps, batch_size=7)
    rows = numpy(model.layers[0].embeddings)[steps[steps != 0]]
    assert_statistics(model.layers[1], rows.mean(0), rows.var(0))


def in_numpy(model, batches):
    """Returns the inputs of both normalizations, which normalize each batch by its statistics."""
    first, second = [], []
    kernel, bias, *_ = model.layers[0].get_weights()
    kernel_2, bias_2 = model.layers[4].get_weights()
    gamma, beta, *_ = model.layers[1].get_weights()
    for batch in batches:
        x = batch.astype("float64") @ kernel + bias
        first.append(x)
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) * gamma + beta
        second.append(np.maximum(x, 0) @ kernel_2 + bias_2)
    return np.concatenate(first), np.concatenate(second)


@pytest.mark.parametrize("size", [10, 50])
def test_later_layers_get_batches_normalized_by_their_statistics(size):
    model = deep()
    kerasreg.recalibrate(model, X, batch_size=size)
    first, second = in_numpy(model, np.split(X, 50 // size))
    assert_statistics(model.get_layer("first"), first.mean(0), first.var(0), rtol=1e-3)
    assert_statistics(model.get_layer("second"), second.mean(0), second.var(0), rtol=1e-3)


def test_after_one_batch_of_all_data_outputs_in_inference_are_normalized():
    """They have mean 0, and variance 1 up to `epsilon`."""
    model = deep()
    kerasreg.recalibrate(model, X, batch_size=None)
    outputs = numpy(model(X, training=False))
    second = model.get_layer("second")
    variance = numpy(second.moving_variance)
    np.testing.assert_allclose(outputs.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(outputs.var(0), variance / (variance + 1e-3), rtol=1e-2)


def test_only_moving_statistics_change():
    model = deep()
    model.compile("adam", "mse")
    model.fit(X, np.zeros((50, 3)), verbose=0)
    before = [numpy(each) for each in model.variables]
    calls = [each.call for each in model.layers]
    kerasreg.recalibrate(model, X)
    changed = {
        variable.path
        for variable, value in zip(model.variables, before, strict=True)
        if not np.array_equal(numpy(variable), value)
    }
    names = ("moving_mean", "moving_variance")
    assert changed == {
        f"sequential/{layer}/{name}" for layer in ("first", "second") for name in names
    }
    assert [each.call for each in model.layers] == calls
    # A second call changes nothing: the result does not depend on the old statistics.
    again = [numpy(each) for each in model.variables]
    kerasreg.recalibrate(model, X)
    for variable, value in zip(model.variables, again, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)


def test_frozen_layers_of_nested_models_are_recalibrated():
    inner = one()
    inner.trainable = False
    model = keras.Sequential([keras.Input((5,)), inner, layers.Dense(2)])
    assert kerasreg.recalibrate(model, X) == 1
    assert_statistics(inner.layers[0], X.mean(0), X.var(0))


def test_statistics_are_right_in_mixed_float16():
    model = one(dtype="mixed_float16")
    kerasreg.recalibrate(model, X, batch_size=10)
    assert_statistics(model.layers[0], X.mean(0), X.var(0), rtol=1e-3)


def test_endless_data_needs_steps():
    def endless():
        while True:
            yield X[:10]

    model = one()
    kerasreg.recalibrate(model, endless(), steps=3)
    assert_statistics(model.layers[0], X[:10].mean(0), X[:10].var(0))
    with pytest.raises(ValueError, match=r"`steps` must be the number.*steps=None with data of"):
        kerasreg.recalibrate(model, tf_data().repeat())


def test_nan_in_the_data_is_an_error_and_changes_nothing():
    model = deep()
    before = model.get_weights()
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite inputs of 'first'"):
        kerasreg.recalibrate(model, bad, batch_size=10)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(("model", "data", "message"), [
    (lambda: keras.Sequential([keras.Input((5,)), layers.Dense(2)]), X, "has no such layer"),
    (lambda: keras.Sequential([layers.BatchNormalization()]), X, "needs a built model"),
    (one, X[:0], r"at least 1. Received: \[0\]"),
    (one, iter([]), "needs data. Received: no batch"),
    (one, [], r"must be inputs .*a tuple.*of type list"),
    (one, "data", r"must be inputs \(arrays\), .*of type str"),
    (one, 3, r"must be inputs \(arrays\), .*of type int"),
], ids=["no layer", "unbuilt", "no samples", "no batches", "list", "string", "number"])  # fmt: skip
def test_invalid_arguments_are_rejected(model, data, message):
    with pytest.raises(ValueError, match=message):
        kerasreg.recalibrate(model(), data)
    with pytest.raises(ValueError, match="`steps` must be an int of at least 1, or None"):
        kerasreg.recalibrate(one(), X, steps=0)
