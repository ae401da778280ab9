"""`compare_latency` measures two models."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._shrinking.costs import latency
from kerasreg._shrinking.costs.inference import compiled
from kerasreg._shrinking.costs.latency import Latency


def mlp(width):
    return keras.Sequential([
        keras.Input((64,)),
        layers.Dense(width, "relu"),
        layers.Dense(width, "relu"),
        layers.Dense(2),
    ])  # fmt: skip


def test_a_model_with_a_thousandth_of_the_work_is_faster():
    result = kerasreg.compare_latency(mlp(2048), mlp(64), batch_size=32, repeats=20)
    assert result.speedup > 1.5
    assert result.after.median < result.before.median
    for each in (result.before, result.after):
        assert 0 < each.low <= each.median <= each.high


def test_models_are_timed_in_turns_without_the_warm_up(monkeypatch):
    """The timer is replaced: calls of the first model take 4 s or 2 s, of the second one 1 s."""
    calls = []

    def timed(function, inputs):
        calls.append(function)
        return (100.0, 100.0, 4.0, 1.0, 2.0, 1.0, 4.0, 1.0, 4.0, 1.0)[len(calls) - 1]

    monkeypatch.setattr(latency, "_timed", timed)
    result = kerasreg.compare_latency(mlp(2), mlp(2), repeats=4, warmup=1)
    first, second = calls[:2]
    assert first is not second
    assert calls == [first, second] * 5
    assert result.before == Latency(4.0, 3.5, 4.0)
    assert result.after == Latency(1.0, 1.0, 1.0)
    assert result.speedup == 4.0
    assert result.line.startswith("latency at batch size 1: 4e+03 ms (3.5e+03 to 4e+03) -> 1e+03 ")


def test_compiled_inference_equals_the_model_and_does_not_change_it():
    model = mlp(8)
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(3, 64)).astype("float32")
    outputs = keras.ops.convert_to_numpy(compiled(model)(x))
    np.testing.assert_allclose(outputs, keras.ops.convert_to_numpy(model(x)), rtol=1e-5, atol=1e-6)
    assert model.predict_function is None
    assert {len(layer._inbound_nodes) for layer in model.layers} == {1}


def test_undefined_sizes_need_an_input_shape_which_can_be_a_dict():
    image, text = keras.Input((None, 3), name="image"), keras.Input((None,), name="text")
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(4, 3)(image))
    y = layers.GlobalMaxPooling1D()(layers.Embedding(2, 4)(text))
    model = keras.Model({"image": image, "text": text}, [x, y])
    shapes = {"image": (6, 3), "text": (7,)}
    result = kerasreg.compare_latency(model, model, input_shape=shapes, repeats=5, warmup=1)
    assert result.speedup > 0
    with pytest.raises(ValueError, match=r"`input_shape` must give.*None for 'image' of shape"):
        kerasreg.compare_latency(model, model)


@pytest.mark.parametrize("name", ["batch_size", "repeats", "warmup"])
def test_counts_below_one_are_rejected(name):
    with pytest.raises(ValueError, match=f"`{name}` must be an int of at least 1. Received"):
        kerasreg.compare_latency(mlp(2), mlp(2), **{name: 0})
