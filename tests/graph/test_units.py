"""A unit is dead in the statistics where `shrink` removes it."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg


def chain(*stack, shape):
    return keras.Sequential([keras.Input(shape), *stack, layers.Dense(2, name="head")])


def randomize(model):
    """Every weight is different from zero."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    return model


def without(variable, *places, axis=-1, size=None):
    """These indices of an axis become zero; in every block of `size`."""
    w = np.array(keras.ops.convert_to_numpy(variable))
    view = np.moveaxis(w, axis, -1)
    view = view if size is None else view.reshape(*view.shape[:-1], -1, size)
    view[..., list(places)] = 0
    variable.assign(w)


def dense():
    model = randomize(chain(layers.Dense(6, "relu", name="a"), layers.Dense(5, "tanh"), shape=(4,)))
    without(model.get_layer("a").kernel, 1, 4)
    return model, 2


def convolution():
    stack = layers.Conv2D(6, 2, name="a"), layers.BatchNormalization(), layers.ReLU()
    model = randomize(chain(*stack, layers.Conv2D(3, 2), layers.Flatten(), shape=(5, 5, 2)))
    without(model.get_layer("a").kernel, 0, 5)
    return model, 2


def separable():
    stack = layers.SeparableConv2D(6, 2, name="a"), layers.ReLU(), layers.GlobalMaxPooling2D()
    model = randomize(chain(*stack, shape=(5, 5, 2)))
    layer = model.get_layer("a")
    without(layer.pointwise_kernel, 2)
    # This filter reads the first channel alone, of which nothing comes.
    without(layer.depthwise_kernel, 0, axis=-2)
    w = np.array(keras.ops.convert_to_numpy(layer.pointwise_kernel))
    w[..., 1, 3] = 0
    layer.pointwise_kernel.assign(w)
    return model, 2


def recurrent(kind):
    model = randomize(chain(kind(5, name="a"), shape=(3, 4)))
    cell = model.get_layer("a").cell
    for variable in (cell.kernel, cell.recurrent_kernel, cell.bias):
        without(variable, 1, 3, size=5)
    # The kernel alone, and the recurrent kernel alone: both of these live.
    without(cell.kernel, 0, size=5)
    without(cell.recurrent_kernel, 2, size=5)
    return model, 2


def reads_only_itself():
    model, _ = recurrent(layers.SimpleRNN)
    cell = model.get_layer("a").cell
    without(cell.kernel, 4)
    without(cell.bias, 4)
    w = np.array(keras.ops.convert_to_numpy(cell.recurrent_kernel))
    w[:4, 4] = 0
    cell.recurrent_kernel.assign(w)
    return model, 3


def candidate_alone():
    """The other gates only say how much of a zero is kept."""
    model = randomize(chain(layers.LSTM(5, name="a"), shape=(3, 4)))
    cell = model.get_layer("a").cell
    for variable in (cell.kernel, cell.recurrent_kernel, cell.bias):
        without(variable, 2 * 5 + 1, 2 * 5 + 4)
    return model, 2


def bidirectional():
    layer = layers.Bidirectional(layers.GRU(4), name="a")
    model = randomize(chain(layer, shape=(3, 2)))
    for each in (layer.forward_layer, layer.backward_layer):
        for variable in (each.cell.kernel, each.cell.recurrent_kernel, each.cell.bias):
            without(variable, 2, size=4)
    return model, 2


def attention():
    x = keras.Input((3, 6))
    layer = layers.MultiHeadAttention(2, 4, value_dim=4, name="a")
    model = randomize(keras.Model(x, layers.Dense(2)(layer(x, x))))
    # A number of the score goes in both heads, by the query or by the key; `shrink` leaves two.
    without(layer._query_dense.kernel, 1)
    without(layer._query_dense.bias, 1)
    without(layer._key_dense.kernel, 1, 2)
    without(layer._value_dense.kernel, 0)
    return model, 4 + 2


def embedding():
    stack = layers.Embedding(7, 5, name="a"), layers.GlobalAveragePooling1D()
    model = randomize(chain(*stack, shape=(3,)))
    without(model.get_layer("a").embeddings, 2)
    return model, 1


def einsum():
    layer = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="a")
    model = randomize(chain(layer, layers.GlobalMaxPooling1D(), shape=(3, 4)))
    without(layer.kernel, 1, 3)
    return model, 2


def shared_and_nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu", name="a")], name="inner")
    inputs = [keras.Input((4,)), keras.Input((4,))]
    both = layers.Concatenate()([inner(each) for each in inputs])
    model = randomize(keras.Model(inputs, layers.Dense(2)(both)))
    without(inner.layers[0].kernel, 0, 1)
    return model, 2


MODELS = {
    "dense": dense,
    "convolution": convolution,
    "separable": separable,
    "SimpleRNN": lambda: recurrent(layers.SimpleRNN),
    "GRU": lambda: recurrent(layers.GRU),
    "LSTM": lambda: recurrent(layers.LSTM),
    "reads only itself": reads_only_itself,
    "candidate alone": candidate_alone,
    "bidirectional": bidirectional,
    "attention": attention,
    "embedding": embedding,
    "einsum": einsum,
    "shared and nested": shared_and_nested,
}


@pytest.mark.parametrize("name", MODELS)
def test_as_many_units_are_dead_as_shrink_removes(name):
    model, dead = MODELS[name]()
    total = kerasreg.statistics(model).total
    small, _ = kerasreg.shrink(model)
    removed = total.units - kerasreg.statistics(small).total.units
    assert (total.dead_units, removed) == (dead, dead)


def test_what_keeps_a_recurrent_unit_alive():
    for kind, change in {
        "stateful": lambda layer: setattr(layer, "stateful", True),
        "bias": lambda layer: layer.cell.bias.assign(np.ones(layer.cell.bias.shape)),
        "activation": lambda layer: setattr(layer.cell, "activation", keras.activations.softplus),
    }.items():
        model, _ = recurrent(layers.LSTM)
        change(model.get_layer("a"))
        assert kerasreg.statistics(model).total.dead_units == 0, kind


def test_cells_in_a_stack_and_convolutions():
    stack = layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.SimpleRNNCell(2)]))
    model = chain(stack, shape=(4, 2))
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    assert (kerasreg.statistics(model).total.units, 5 + 2) == (7, 7)
    assert kerasreg.statistics(model, include="gru|simple").total.dead_units == 5
    model = chain(layers.ConvLSTM2D(3, 2), layers.Flatten(), shape=(2, 4, 4, 1))
    for variable in model.layers[0].weights:
        without(variable, 1, size=3)
    assert kerasreg.statistics(model).total.dead_units == 1


def test_adapters_keep_a_unit_alive():
    model, _ = dense()
    layer = model.get_layer("a")
    layer.enable_lora(2)
    assert kerasreg.statistics(model).total.dead_units == 2
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert kerasreg.statistics(model).total.dead_units == 0


def test_remaining_units_by_index_and_by_name():
    model, _ = attention()
    rows = kerasreg.statistics(model)
    query, value = rows["a/query/kernel"], rows["a/value/kernel"]
    assert query.left() == [0, 3, 4, 7]
    assert value.left() == [1, 2, 3, 5, 6, 7]
    assert value.left("head") == [0, 1]
    assert value.left("input", names="abcdef") == list("abcdef")
    model.get_layer("a")._value_dense.kernel.assign(np.zeros((6, 2, 4)))
    assert kerasreg.statistics(model)["a/value/kernel"].left("head") == []
    model, _ = dense()
    row = kerasreg.statistics(model)["sequential/a/kernel"]
    without(model.get_layer("a").kernel, 2, axis=0)
    assert row.left() == [0, 2, 3, 5]
    names = ["age", "sex", "bmi", "bp"]
    assert kerasreg.statistics(model)["sequential/a/kernel"].left("input", names) == [
        "age",
        "sex",
        "bp",
    ]
    with pytest.raises(
        ValueError, match=r"one name for each of the 4 entries of '.*a/kernel'.*3 names"
    ):
        row.left("input", names[:3])
    with pytest.raises(ValueError, match=r"`role` must be one of.*'input', 'output'.*role='head'"):
        row.left("head")
    with pytest.raises(ValueError, match="`role` must be one of the roles of 'sequential'"):
        kerasreg.statistics(model).total.left()
