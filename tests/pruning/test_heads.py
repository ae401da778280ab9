"""Whole heads: the same ones in query, key, value and output, so that `shrink` removes them."""

import keras
import numpy as np
import pytest
from keras import layers
from tensors import array

import kerasreg
from kerasreg import patterns, schedules
from kerasreg.callbacks import Pruning


def transformer(attention=None, **kwargs):
    attention = attention or layers.MultiHeadAttention(4, 3, name="attention", **kwargs)
    x = keras.Input((5, 8))
    y = layers.LayerNormalization()(x + attention(x, x))
    model = keras.Model(x, layers.Dense(3, name="head")(y), name="net")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=v.shape) for v in model.weights])
    return model


def grouped():
    return layers.GroupQueryAttention(3, 6, 3, name="attention")


DATA = np.random.default_rng(1).normal(size=(16, 5, 8)).astype("float32")


def test_shrink_removes_the_weakest_heads():
    for attention, heads, kept, name in (
        (None, 4, 2, "num_heads"),
        (grouped(), 3, 1, "num_key_value_heads"),
    ):
        model = transformer(attention)
        layer = model.get_layer("attention")
        dense = (layer._query_dense, layer._key_dense, layer._value_dense)
        sums = np.zeros(heads)
        for each in dense:
            for v in each.weights:
                rows = np.moveaxis(array(v), len(v.shape) - 2, 0).reshape(heads, -1)
                sums += np.square(rows, dtype="float64").sum(axis=1)
        sums += (
            np.square(array(layer._output_dense.kernel), dtype="float64")
            .reshape(heads, -1)
            .sum(axis=1)
        )
        plan = kerasreg.prune(model, 0.5, pattern="head")
        (row,) = plan
        assert (row.path, row.units, row.pruned) == ("attention", heads, heads - kept)
        alive = np.argsort(sums)[heads - kept :]
        for each in dense:
            for v in each.weights:
                rows = np.moveaxis(array(v), len(v.shape) - 2, 0).reshape(heads, -1)
                assert sorted(alive) == list(np.flatnonzero(rows.any(axis=1)))
        small, _ = kerasreg.shrink(model)
        assert getattr(small.get_layer("attention"), name) == kept
        np.testing.assert_allclose(
            small.predict(DATA, verbose=0), model.predict(DATA, verbose=0), atol=1e-5
        )
        keras.backend.clear_session()


def test_other_names_of_the_pattern_and_other_scopes_work_in_training():
    for pattern, scope in (
        ("head", "layer"),
        (patterns.Group("head"), "global"),
        (patterns.Heads(min_units=3), {"attention": 0.75}),
    ):
        model = transformer()
        model.compile("adam", "mse")
        pruning = Pruning(schedules.Linear(0.5, end_step=6), pattern, scope=scope)
        model.fit(DATA, np.ones((16, 5, 3)), 4, epochs=2, verbose=0, callbacks=[pruning])
        small, _ = kerasreg.shrink(model)
        assert small.get_layer("attention").num_heads == (3 if isinstance(scope, dict) else 2)
        keras.backend.clear_session()


def test_a_frozen_attention_or_a_model_without_attention_raises():
    model = transformer()
    model.get_layer("attention").trainable = False
    for each, text in (
        (model, "'attention/query/kernel' is not trainable"),
        (mlp(), "not part of an attention head"),
    ):
        with pytest.raises(ValueError, match=text):
            kerasreg.prune(each, 0.5, pattern="head")


def mlp():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def test_shrink_removes_heads_that_are_not_read():
    """What README advises: nobody reads these heads, whatever their biases are."""
    model = transformer()
    kernel = model.get_layer("attention")._output_dense.kernel
    kernel.assign(array(kernel) * np.array([1, 0, 1, 0])[:, None, None])
    small, _ = kerasreg.shrink(model)
    assert small.get_layer("attention").num_heads == 2


def test_heads_without_a_query_remain_and_the_report_says_why():
    for name in ("_query_dense", "_key_dense"):
        model = transformer(use_bias=False)
        kernel = getattr(model.get_layer("attention"), name).kernel
        kernel.assign(array(kernel) * np.array([1, 0, 0, 1])[None, :, None])
        small, report = kerasreg.shrink(model)
        assert small.get_layer("attention").num_heads == 4
        assert "2 heads of 'attention' have a query or key of zeros, and stay" in str(report)
        keras.backend.clear_session()


def test_the_pattern_of_inputs_has_a_short_name():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Dense(2)])
    kerasreg.prune(model, 0.5, pattern="input")
    assert (array(model.weights[0]) == 0).all(axis=1).sum() == 2
