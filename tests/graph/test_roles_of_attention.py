"""The groups of embeddings and of attention: tokens, features and heads."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops
from zeroing import data, labels_of, outputs, randomize, zero

from kerasreg._graph.roles import model_roles

TOKENS = 6


@pytest.mark.parametrize("tied", [None, True, False], ids=["Embedding", "tied", "untied"])
def test_embedding(tied):
    if tied is None:
        layer = layers.Embedding(TOKENS, 3)
    elif hasattr(layers, "ReversibleEmbedding"):
        layer = layers.ReversibleEmbedding(TOKENS, 3, tie_weights=tied)
    else:
        pytest.skip("this Keras has no ReversibleEmbedding")
    model = keras.Sequential([keras.Input((1,), dtype="int32"), layer])
    randomize(model)
    roles = model_roles(model)[id(layer.embeddings)]
    assert set(roles) == {"output", "input"}
    tokens = np.arange(TOKENS)[:, None]
    zero(layer.embeddings, labels_of(roles["output"], (TOKENS, 3)), 1)
    zero(layer.embeddings, labels_of(roles["input"], (TOKENS, 3)), 4)
    y = outputs(model, tokens)[:, 0]
    assert np.flatnonzero((y == 0).all(axis=0)).tolist() == [1]
    assert np.flatnonzero((y == 0).all(axis=1)).tolist() == [4]
    if tied is False:
        roles = model_roles(model)[id(layer.reverse_embeddings)]
        zero(layer.reverse_embeddings, labels_of(roles["output"], (3, TOKENS)), 4)
        zero(layer.reverse_embeddings, labels_of(roles["input"], (3, TOKENS)), 1)
        x = data((3,), 0)
        y = np.asarray(ops.convert_to_numpy(layer(x, reverse=True)))
        assert np.flatnonzero((y == 0).all(axis=0)).tolist() == [4]
        x[:, 1] += 1
        np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, reverse=True)), y)


ATTENTION = {
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 3),
    "MultiHeadAttention without bias": lambda: layers.MultiHeadAttention(2, 3, use_bias=False),
    "GroupQueryAttention": lambda: layers.GroupQueryAttention(3, 4, 2),
}
if "use_gate" in inspect.signature(layers.MultiHeadAttention).parameters:
    ATTENTION["MultiHeadAttention gated"] = lambda: layers.MultiHeadAttention(2, 3, use_gate=True)
    ATTENTION["GroupQueryAttention gated"] = lambda: layers.GroupQueryAttention(
        3, 4, 2, use_gate=True
    )


def attend(name):
    layer = ATTENTION[name]()
    inputs = keras.Input((4, 5))
    model = keras.Model(inputs, layer(inputs, inputs))
    randomize(model)
    variables = {"/".join(v.path.split("/")[-2:]): v for v in model.weights}
    return model, variables, model_roles(model)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_roles(name):
    _, variables, roles = attend(name)
    for path, variable in variables.items():
        found = {role: groups.axis for role, groups in roles[id(variable)].items()}
        expected = {
            "attention_output/kernel": {"output": 2, "input": (0, 1), "head": 0},
            "attention_output/bias": {"output": 0},
        }.get(path)
        if expected is None and path.endswith("kernel"):
            expected = {"output": (1, 2), "input": 0, "head": 1}
        elif expected is None:
            expected = {"output": (0, 1), "head": 0}
        assert found == expected, path


@pytest.mark.parametrize("name", ATTENTION)
def test_a_zero_head_of_the_output_kernel_removes_that_head(name):
    model, variables, roles = attend(name)
    x, weights = data((4, 5), 0), model.get_weights()

    def labels(path):
        return labels_of(roles[id(variables[path])]["head"], tuple(variables[path].shape))

    def without(parts, head):
        model.set_weights(weights)
        for path in variables:
            if path.split("/")[0] in parts and "head" in roles[id(variables[path])]:
                zero(variables[path], labels(path), head)
        return outputs(model, x)

    heads = variables["attention_output/kernel"].shape[0]
    value_heads = variables["value/kernel"].shape[1]
    shared = heads // value_heads
    for head in range(heads):
        removed = without(["attention_output"], head)
        for other in range(heads):
            # No other weight of a removed head matters any more, and all others do.
            before = outputs(model, x)
            kernel = np.asarray(ops.convert_to_numpy(variables["query/kernel"])).copy()
            changed = kernel.copy()
            changed[:, other] += 1
            variables["query/kernel"].assign(changed)
            assert np.allclose(outputs(model, x), before) == (other == head)
            variables["query/kernel"].assign(kernel)
        assert not np.allclose(removed, without([], head))
        if shared == 1:
            np.testing.assert_allclose(removed, without(["value"], head), atol=1e-5)
    if shared > 1:
        for head in range(value_heads):
            model.set_weights(weights)
            kernel = np.asarray(ops.convert_to_numpy(variables["attention_output/kernel"])).copy()
            kernel[head * shared : (head + 1) * shared] = 0
            variables["attention_output/kernel"].assign(kernel)
            np.testing.assert_allclose(outputs(model, x), without(["value"], head), atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2])
def test_adapters_do_not_break_the_roles(rank):
    model, variables, _ = attend("MultiHeadAttention")
    layer = next(each for each in model.layers if isinstance(each, layers.MultiHeadAttention))
    layer._query_dense.enable_lora(rank)
    roles = model_roles(model)
    adapters = [v for v in model.trainable_variables if "lora" in v.name]
    assert len(adapters) == 2
    assert all("head" not in roles[id(v)] for v in adapters)
    assert "head" in roles[id(variables["key/kernel"])]
