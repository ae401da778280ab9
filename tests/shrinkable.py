"""Small models with dead units, and the number of parameters that `shrink` must remove."""

import keras
import numpy as np
from keras import layers, ops


def randomize(model, seed=0):
    """Assigns random weights, so that the outputs depend on the inputs."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        value = 0.5 * rng.normal(size=variable.shape)
        is_variance = "variance" in variable.path
        variable.assign(np.abs(value) + 0.5 if is_variance else value)
    return model


def kill(model, name, units, axis=-1, bias=True, variable=None):
    """Sets the first `units` of a layer to zero, with or without their biases."""
    layer = model.get_layer(name)
    for each in layer.weights:
        if each.name not in (variable or "kernel", *(["bias"] if bias else [])):
            continue
        value = np.moveaxis(np.array(ops.convert_to_numpy(each)), axis, 0)
        value[:units] = 0
        each.assign(np.moveaxis(value, 0, axis))


def dense():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", name="a"),
            layers.Dense(5, "tanh", name="b"),
            layers.Dense(3, name="c"),
        ],
        name="dense",
    )
    return randomize(model)


def producer_dead():
    model = dense()
    kill(model, "a", 3)
    return model, 3 * (6 + 1 + 5)


def constant():
    """Dead units with a bias: their constant output moves into the next bias."""
    model = dense()
    kill(model, "a", 3, bias=False)
    return model, 3 * (6 + 1 + 5)


def consumer_dead():
    model = dense()
    kill(model, "b", 3, axis=0, bias=False)
    return model, 3 * (6 + 1 + 5)


def chain():
    """Units that only dead units use are dead too."""
    model = dense()
    kill(model, "c", 3, axis=0, bias=False)
    b = model.get_layer("b").kernel
    rows, columns = np.arange(8)[:, None] < 4, np.arange(5) >= 3
    b.assign(np.where(rows & columns, 0, ops.convert_to_numpy(b)))
    # Only the dead units of b use half of a.
    return model, 4 * (6 + 1 + 5) + 3 * (4 + 1 + 3)


def without_bias():
    """A layer without a bias gets one for the constant inputs."""
    x = keras.Input((6,))
    y = layers.Dense(8, "sigmoid", name="a")(x)
    y = layers.Dense(3, use_bias=False, name="b")(y)
    model = randomize(keras.Model(x, y))
    kill(model, "a", 4)
    return model, 4 * (6 + 1 + 3) - 3


def _image(*stack, padding="same"):
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(8, 3, padding=padding, name="a")(x)
    for layer in stack:
        y = layer(y)
    y = layers.Conv2D(6, 3, padding=padding, name="b")(y)
    y = layers.GlobalAveragePooling2D()(y)
    return randomize(keras.Model(x, layers.Dense(2, name="head")(y)))


def convolutions():
    model = _image(layers.ReLU())
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 9 * 6)


def carrier():
    """Constants before zero padding: one channel stays and has the weights of the others."""
    model = _image(layers.BatchNormalization(name="norm"), layers.Activation("sigmoid"))
    kill(model, "a", 4)
    return model, 3 * (27 + 1 + 4 + 9 * 6)


def folded():
    """Constants before a convolution without padding move into its bias."""
    model = _image(layers.BatchNormalization(), layers.ReLU(), padding="valid")
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 4 + 9 * 6)


def gain_of_zero():
    """Units with a zero `gamma` of BatchNormalization are constant."""
    model = _image(layers.BatchNormalization(name="norm"), padding="valid")
    gamma = model.get_layer("norm").gamma
    gamma.assign(np.where(np.arange(8) < 4, 0, ops.convert_to_numpy(gamma)))
    return model, 4 * (27 + 1 + 4 + 9 * 6)


def pooled():
    model = _image(
        layers.MaxPooling2D(2, padding="same"), layers.UpSampling2D(2), layers.Dropout(0.5)
    )
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 9 * 6)


def padded():
    """Constants with a border of zeros after padding: one channel stays."""
    model = _image(layers.Activation("sigmoid"), layers.ZeroPadding2D(1), padding="valid")
    kill(model, "a", 4)
    return model, 3 * (27 + 1 + 9 * 6)


def depthwise():
    model = _image(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="deep"))
    kill(model, "a", 4)
    kill(model, "deep", 8, variable="none", axis=0)
    return model, 4 * (27 + 1 + 18 + 2 + 2 * 9 * 6)


def grouped():
    model = _image(layers.Conv2D(8, 3, groups=8, padding="same", use_bias=False))
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 9 + 9 * 6)


def separable():
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(8, 3, name="a")(x)
    y = layers.SeparableConv2D(6, 3, depth_multiplier=2, padding="same", name="b")(y)
    y = layers.SeparableConv2D(4, 3, name="c")(layers.ReLU()(y))
    y = layers.GlobalMaxPooling2D()(y)
    model = randomize(keras.Model(x, layers.Dense(2)(y)))
    kill(model, "a", 4)
    kill(model, "b", 3, variable="pointwise_kernel")
    first = 4 * (27 + 1 + 18 + 2 * 6)
    return model, first + 3 * (16 - 8 + 1 + 9 + 4)


def transposed():
    x = keras.Input((5, 5, 3))
    y = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu", name="a")(x)
    y = layers.Conv2DTranspose(6, 3, name="b")(y)
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    kill(model, "a", 4, axis=-2, bias=False)
    model.get_layer("a").bias.assign(np.where(np.arange(8) < 4, 0, 1.0))
    return model, 4 * (27 + 1 + 9 * 6)


def residual():
    """Units that are added are removed together."""
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(8, 3, padding="same", name="a")(x)
    z = layers.Conv2D(8, 3, padding="same", name="b")(layers.ReLU()(y))
    y = layers.Conv2D(4, 1, name="c")(layers.ReLU()(layers.Add()([y, z])))
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    kill(model, "a", 4)
    kill(model, "b", 6)
    return model, 4 * (27 + 1 + 8 * 9 + 1 + 4) + 4 * 9 * 4


def concatenated():
    x = keras.Input((6,))
    y = layers.Concatenate()([layers.Dense(4, name="a")(x), x, layers.Dense(4, name="b")(x)])
    model = randomize(keras.Model(x, layers.Dense(3)(y)))
    kill(model, "a", 1)
    kill(model, "b", 2)
    return model, 3 * (6 + 1 + 3)


def squeezed():
    """Squeeze and excitation: the gate of a dead channel is removed too."""
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(8, 3, activation="relu", name="a")(x)
    gate = layers.GlobalAveragePooling2D()(y)
    gate = layers.Reshape((1, 1, 8))(gate)
    gate = layers.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    y = layers.Conv2D(5, 3, padding="same", name="b")(layers.Multiply()([y, gate]))
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 4 + 4 + 1 + 9 * 5)


def flattened():
    x = keras.Input((5, 5, 2))
    y = layers.Conv2D(8, 3, activation="relu", name="a")(x)
    y = layers.Permute((3, 1, 2))(layers.MaxPooling2D(2, padding="same")(y))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(layers.Flatten()(y))))
    kill(model, "a", 4, bias=False)
    return model, 4 * (18 + 1 + 4 * 3)


def operations():
    """Raw `keras.ops` in the graph."""
    x = keras.Input((6,))
    y = layers.Dense(8, name="a")(x)
    y = ops.relu6(2.0 * y + 1.0) / 3.0
    y = y * layers.Dense(8, name="gate")(x)
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4)
    kill(model, "gate", 2)
    return model, 2 * (6 + 1 + 6 + 1 + 3)


def embedded():
    x = keras.Input((7,), dtype="int32")
    y = layers.Embedding(10, 8, name="a")(x)
    y = layers.Conv1D(5, 3, name="b")(y)
    model = randomize(keras.Model(x, layers.GlobalMaxPooling1D()(y)))
    kill(model, "a", 3, variable="embeddings")
    return model, 3 * (10 + 3 * 5)


def siamese():
    """A shared layer: a unit must be dead at every call."""
    inputs = [keras.Input((6,)), keras.Input((6,))]
    shared = layers.Dense(8, "relu", name="a")
    y = layers.Subtract()([shared(inputs[0]), shared(inputs[1])])
    model = randomize(keras.Model(inputs, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4, bias=False)
    return model, 4 * (6 + 1 + 3)


def nested():
    """A nested model with a nested model that is called twice."""
    x = keras.Input((8,))
    inner = keras.Model(x, layers.Dense(8, "relu", name="inside")(x), name="inner")
    x = keras.Input((8,))
    middle = keras.Model(x, inner(inner(x)), name="middle")
    x = keras.Input((6,))
    y = layers.Dense(8, "relu", name="a")(x)
    model = keras.Model(x, layers.Dense(2, name="b")(middle(y)), name="outer")
    randomize(model)
    kill(inner, "inside", 3)
    kill(model, "a", 3)
    return model, 3 * (6 + 1) + 3 * (8 + 1 + 5) + 3 * 2


def several_outputs():
    x = {"p": keras.Input((6,), name="p"), "q": keras.Input((4,), name="q")}
    y = layers.Dense(8, "relu", name="a")(layers.Concatenate()([x["p"], x["q"]]))
    outputs = {"r": layers.Dense(2, name="r")(y), "s": layers.Dense(3, name="s")(y)}
    model = randomize(keras.Model(x, outputs))
    kill(model, "a", 4)
    return model, 4 * (10 + 1 + 2 + 3)


def intermediate_output():
    """Dead units that are an output of the model stay."""
    x = keras.Input((6,))
    y = layers.Dense(8, "relu", name="a")(x)
    model = randomize(keras.Model(x, [y, layers.Dense(3, name="b")(y)]))
    kill(model, "a", 4)
    return model, 0


def any_size():
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(8, 3, padding="same", activation="sigmoid", name="a")(x)
    y = layers.Conv2D(6, 3, padding="same", name="b")(y)
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    kill(model, "a", 4)
    return model, 3 * (27 + 1 + 9 * 6)


class Unknown(layers.Layer):
    """A user-defined layer without a rule."""

    def call(self, x):
        return ops.flip(x, axis=-1)


def unknown():
    """Units before a layer without a rule stay."""
    x = keras.Input((6,))
    y = Unknown(name="unknown")(layers.Dense(8, name="a")(x))
    y = layers.Dense(5, name="b")(y)
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    kill(model, "a", 4)
    kill(model, "b", 2)
    return model, 2 * (8 + 1 + 2)


def normalized():
    """Units before LayerNormalization stay: its mean depends on all of them."""
    x = keras.Input((6,))
    y = layers.LayerNormalization()(layers.Dense(8, name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4)
    return model, 0


def softmax():
    x = keras.Input((6,))
    y = layers.Dense(8, "softmax", name="a")(x)
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4, bias=False)
    return model, 0


def nothing_dead():
    return dense(), 0


def all_dead():
    """One unit of each layer stays; the units of the next layer are constant."""
    model = dense()
    kill(model, "a", 8)
    return model, 7 * (6 + 1) + (8 * 5 + 5) - (1 + 1) + 4 * 3


def zero_units(layer, count, variables, axis=-1, sizes=None):
    """Sets the first `count` units of each block of a layer's variables to zero."""
    for each in layer.weights:
        if each.name in variables:
            value = np.array(ops.convert_to_numpy(each))
            moved = np.moveaxis(value, axis, 0)
            blocks = moved.reshape(sizes or 1, -1, *moved.shape[1:])
            blocks[:, :count] = 0
            each.assign(np.moveaxis(blocks.reshape(moved.shape), 0, axis))


def _attend(layer, causal=False):
    x = keras.Input((5, 6))
    y = layers.Dense(8, name="before")(x)
    y = layer(y, y, use_causal_mask=causal)
    return randomize(keras.Model(x, layers.Dense(3, name="after")(y)))


def heads():
    """Heads with zero rows in the output projection."""
    layer = layers.MultiHeadAttention(4, 3, value_dim=2, name="attention")
    model = _attend(layer, causal=True)
    zero_units(layer._output_dense, 3, ["kernel"], axis=0)
    # Queries and keys (9 inputs with the bias, size 3), values (size 2), output projection.
    return model, 3 * (2 * 9 * 3 + 9 * 2 + 2 * 8)


def query_key_size():
    """Dimensions of the scores with zero queries, and with keys that equal their bias."""
    layer = layers.MultiHeadAttention(2, 6, name="attention")
    model = _attend(layer)
    zero_units(layer._query_dense, 2, ["kernel", "bias"])
    kernel = np.array(ops.convert_to_numpy(layer._key_dense.kernel))
    kernel[..., 2:4] = 0
    layer._key_dense.kernel.assign(kernel)
    return model, 4 * 2 * 2 * 9


def query_key_size_with_constants(use_bias=True):
    """Constant inputs move into the biases of queries, whose size and scale change."""
    layer = layers.MultiHeadAttention(2, 4, use_bias=use_bias, name="attention")
    model = _attend(layer)
    kill(model, "before", 3, bias=False)
    zero_units(layer._query_dense, 2, ["kernel", "bias"])
    # Before the attention, queries and keys, and values.
    return model, 3 * 7 + 2 * (9 * 8 - 6 * 4) + 3 * 8


def query_key_size_with_new_biases():
    """Without biases, the constant inputs make new ones in all four projections."""
    model, gone = query_key_size_with_constants(use_bias=False)
    return model, gone - 2 * 8 - 8 - 8


def value_size():
    """Constant dimensions of the values are removed."""
    layer = layers.MultiHeadAttention(2, 4, value_dim=5, use_bias=False, name="attention")
    model = _attend(layer)
    zero_units(layer._value_dense, 3, ["kernel"])
    return model, 3 * 2 * (8 + 8)


def attention_inputs():
    """Dead inputs of an attention layer, and outputs that are not used."""
    layer = layers.MultiHeadAttention(2, 4, output_shape=10, name="attention")
    model = _attend(layer)
    kill(model, "before", 3, bias=False)
    kill(model, "after", 4, axis=0, bias=False)
    return model, 3 * (6 + 1 + 3 * 8) + 4 * (8 + 1 + 3)


def cross_attention():
    x, z = keras.Input((5, 6)), keras.Input((None, 4))
    mask = keras.Input((5, None), dtype="bool")
    y = layers.MultiHeadAttention(3, 4, name="attention")(
        layers.Dense(7)(x), layers.Dense(6, name="values")(z), attention_mask=mask
    )
    model = randomize(keras.Model([x, z, mask], y))
    kill(model, "values", 2, bias=False)
    return model, 2 * (4 + 1 + 2 * 12)


def attention_scores():
    """Heads stay if their scores are an output of the model."""
    layer = layers.MultiHeadAttention(4, 3, name="attention")
    x = keras.Input((5, 6))
    outputs = layer(x, x, return_attention_scores=True)
    model = randomize(keras.Model(x, outputs))
    zero_units(layer._output_dense, 3, ["kernel"], axis=0)
    return model, 0


def grouped_attention():
    """Query heads are removed together with the key head that they share."""
    layer = layers.GroupQueryAttention(4, 6, 3, name="attention")
    x = keras.Input((5, 8))
    model = randomize(keras.Model(x, layer(x, x)))
    zero_units(layer._output_dense, 4, ["kernel"], axis=0)
    return model, 4 * (9 * 4 + 4 * 8) + 2 * 2 * 9 * 4


def grouped_attention_size():
    """Queries, keys and values have one size: a dimension must be dead in all of them."""
    layer = layers.GroupQueryAttention(4, 4, 2, name="attention")
    x = keras.Input((5, 8))
    model = randomize(keras.Model(x, layer(x, x)))
    zero_units(layer._value_dense, 2, ["kernel"])
    zero_units(layer._query_dense, 1, ["kernel", "bias"])
    return model, 4 * 9 + 2 * 9 + 2 * 9 + 4 * 8


def _recur(*stack, feature=3):
    x = keras.Input((6, 4))
    y = layers.Dense(5, name="before")(x)
    for layer in stack:
        y = layer(y)
    return randomize(keras.Model(x, layers.Dense(feature, name="after")(y)))


def simple_rnn():
    layer = layers.SimpleRNN(8, name="rnn")
    model = _recur(layer)
    zero_units(layer, 3, ["kernel", "recurrent_kernel", "bias"])
    kill(model, "before", 2, bias=False)
    return model, 2 * (4 + 1 + 8) + 3 * (3 + 1 + 3) + (8 * 8 - 5 * 5)


def _zero_candidate(layer, count, gates, candidate):
    cell = getattr(layer, "cell", layer)
    size = cell.kernel.shape[-1] // gates
    columns = slice(candidate * size, candidate * size + count)
    for each in (cell.kernel, cell.recurrent_kernel, cell.bias):
        if each is not None:
            value = np.array(ops.convert_to_numpy(each))
            value[..., columns] = 0
            each.assign(value)


def _recurrent(inputs, gates, old, new, biases=1):
    """Returns the parameters that a recurrent layer loses with its units."""
    count = lambda units: gates * units * (inputs + units + biases)  # noqa: E731
    return count(old) - count(new)


def lstm():
    layers_ = layers.LSTM(8, return_sequences=True), layers.LSTM(6, name="second")
    model = _recur(*layers_)
    _zero_candidate(layers_[0], 3, 4, 2)
    _zero_candidate(layers_[1], 2, 4, 2)
    gone = _recurrent(5, 4, 8, 5) + 4 * 6 * (8 + 6 + 1) - 4 * 4 * (5 + 4 + 1)
    return model, gone + 2 * 3


def lstm_unused():
    """Units that neither the next layer nor the gates of other units use."""
    layer = layers.LSTM(8, use_bias=False)
    model = _recur(layer)
    zero_units(layer.cell, 3, ["recurrent_kernel"], axis=0)
    kill(model, "after", 3, axis=0, bias=False)
    kill(model, "before", 2, bias=False)
    # The constant inputs make a new bias.
    return model, _recurrent(5, 4, 8, 5, 0) + 2 * (5 + 4 * 5) + 3 * 3 - 4 * 5


def gru():
    layer = layers.GRU(8, return_sequences=True)
    model = _recur(layer)
    _zero_candidate(layer, 3, 3, 2)
    kill(model, "before", 2, bias=False)
    # One constant input stays: the bias of the candidate is inside of a gate.
    return model, _recurrent(4, 3, 8, 5, 2) + 3 * 3 + (5 + 3 * 8)


def gru_plain():
    layer = layers.GRU(8, reset_after=False, go_backwards=True)
    model = _recur(layer)
    _zero_candidate(layer, 3, 3, 2)
    return model, _recurrent(5, 3, 8, 5) + 3 * 3


def rnn_of_a_cell():
    layer = layers.RNN(layers.GRUCell(8))
    model = _recur(layer)
    _zero_candidate(layer, 3, 3, 2)
    return model, _recurrent(5, 3, 8, 5, 2) + 3 * 3


def states():
    """The states of an encoder are the initial states of a decoder."""
    x, z = keras.Input((None, 4)), keras.Input((None, 3))
    _, *given = layers.LSTM(8, return_state=True, name="encoder")(x)
    decoder = layers.LSTM(8, return_sequences=True, name="decoder")
    y = decoder(z, initial_state=given)
    model = randomize(keras.Model([x, z], layers.Dense(2, name="after")(y)))
    for name in ("encoder", "decoder"):
        _zero_candidate(model.get_layer(name), 3, 4, 2)
    return model, _recurrent(4, 4, 8, 5) + _recurrent(3, 4, 8, 5) + 3 * 2


def bidirectional():
    layer = layers.Bidirectional(layers.LSTM(8, return_sequences=True))
    model = _recur(layer, layers.Bidirectional(layers.GRU(6), merge_mode="sum"))
    _zero_candidate(layer.forward_layer, 4, 4, 2)
    _zero_candidate(layer.backward_layer, 3, 4, 2)
    return model, 2 * _recurrent(5, 4, 8, 5) + 6 * 2 * 3 * 6


def stacked_cells():
    """Stacked cells have no rule: the units before them stay."""
    layer = layers.RNN([layers.LSTMCell(5), layers.GRUCell(4)])
    model = _recur(layer)
    kill(model, "before", 2)
    return model, 0


def conv_lstm():
    x = keras.Input((4, 7, 7, 3))
    layer = layers.ConvLSTM2D(8, 3, padding="same", name="lstm")
    y = layers.Conv2D(4, 3, name="after")(layer(x))
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    _zero_candidate(layer, 3, 4, 2)
    return model, 9 * 4 * (8 * 11 - 5 * 8) + 4 * 3 + 9 * 3 * 4


def time_distributed():
    x = keras.Input((3, 9, 9, 2))
    y = layers.TimeDistributed(layers.Conv2D(8, 3, activation="relu"), name="a")(x)
    y = layers.TimeDistributed(layers.GlobalAveragePooling2D())(y)
    y = layers.TimeDistributed(layers.Dense(6, "relu"), name="b")(y)
    model = randomize(keras.Model(x, layers.LSTM(4, name="after")(y)))
    kill(model, "a", 4)
    kill(model, "b", 2, bias=False)
    model.get_layer("b").layer.bias.assign([-1.0, -2, 1, 2, 3, 4])
    return model, 4 * (18 + 1 + 6) + 2 * (4 + 1 + 16)


def einsum():
    """EinsumDense layers with heads, and with an axis of units other than the last."""
    x = keras.Input((5, 6))
    y = layers.EinsumDense("abc,cde->abde", (None, 4, 3), bias_axes="de", name="a")(x)
    y = layers.EinsumDense("abde,def->abf", (None, 7), bias_axes="f", activation="relu", name="b")(
        layers.ReLU()(y)
    )
    y = layers.EinsumDense("...x,xy->...y", 3, name="c")(y)
    model = randomize(keras.Model(x, y))
    kill(model, "b", 2, axis=0, bias=False)
    kill(model, "c", 3, axis=0)
    return model, 2 * 3 * (6 + 1 + 7) + 3 * (6 + 1 + 3)


def einsum_folded():
    """A constant input makes a new bias."""
    x = keras.Input((5, 6))
    y = layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", name="a")(x)
    y = layers.EinsumDense("abc,cde->abde", (None, 3, 2), name="b")(y)
    model = randomize(keras.Model(x, layers.Flatten()(y)))
    kill(model, "a", 2, bias=False)
    return model, 2 * (6 + 1 + 6) - 6


def group_norm():
    """The units of a group are removed together."""
    model = _image(layers.GroupNormalization(4, name="norm"), layers.ReLU(), padding="valid")
    kill(model, "a", 5)
    kill(model, "norm", 5, variable="gamma", bias=False)
    kill(model, "norm", 5, variable="beta", bias=False)
    return model, 4 * (27 + 1 + 2 + 9 * 6)


def instance_norm():
    model = _image(layers.GroupNormalization(-1, name="norm"), layers.ReLU(), padding="valid")
    kill(model, "a", 3)
    return model, 3 * (27 + 1 + 2 + 9 * 6)


def rms_norm():
    x = keras.Input((6,))
    y = layers.RMSNormalization(name="norm")(layers.Dense(8, "relu", name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 3)
    return model, 3 * (6 + 1 + 1 + 3)


def rms_norm_of_a_constant():
    """Constants other than 0 stay: they change the mean of the squares."""
    x = keras.Input((6,))
    y = layers.RMSNormalization(name="norm")(layers.Dense(8, name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 3, bias=False)
    kill(model, "b", 3, axis=0, bias=False)
    return model, 0


def unit_norm():
    x = keras.Input((6,))
    y = layers.UnitNormalization()(layers.Dense(8, "relu", name="a")(x))
    model = randomize(keras.Model(x, layers.Dense(3, name="b")(y)))
    kill(model, "a", 3)
    return model, 3 * (6 + 1 + 3)


def adapted():
    """The statistics of `Normalization` are kept."""
    x = keras.Input((6,))
    normalization = layers.Normalization(name="norm")
    normalization.adapt(np.random.default_rng(0).normal(2, 3, (50, 6)))
    y = layers.Dense(8, "relu", name="a")(normalization(x))
    model = keras.Model(x, layers.Dense(3, name="b")(y))
    for name in ("a", "b"):
        for variable in model.get_layer(name).weights:
            variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    kill(model, "a", 3)
    return model, 3 * (6 + 1 + 3)


def prelu():
    model = _image(layers.PReLU(shared_axes=(1, 2)))
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 1 + 9 * 6)


def shuffled():
    """A reshape splits channels into parts: they are removed from all parts (ShuffleNet)."""
    x = keras.Input((7, 7, 3))
    y = layers.Conv2D(8, 3, activation="relu", name="a")(x)
    y = layers.Reshape((5, 5, 2, 4))(y)
    y = layers.Reshape((5, 5, 8))(layers.Permute((1, 2, 4, 3))(y))
    model = randomize(keras.Model(x, layers.Conv2D(3, 3, name="b")(y)))
    a = model.get_layer("a")
    alive = np.arange(8) % 4 >= 2
    a.kernel.assign(ops.convert_to_numpy(a.kernel) * alive)
    a.bias.assign(ops.convert_to_numpy(a.bias) * alive)
    return model, 4 * (27 + 1 + 27)


def partly_dead_groups():
    """Groups of a convolution are removed as a whole (RegNet); one stays for the biases."""
    model = _image(layers.Conv2D(12, 3, groups=4, name="grouped"), layers.ReLU())
    kill(model, "a", 5)
    return model, 2 * (27 + 1) + 3 * (9 * 2 + 1 + 9 * 6)


def partly_dead_groups_without_bias():
    model = _image(layers.Conv2D(12, 3, groups=4, use_bias=False, name="grouped"), layers.ReLU())
    kill(model, "a", 5)
    return model, 4 * (27 + 1) + 6 * (9 * 2 + 9 * 6)


def reversed_embedding():
    """The units of an embedding that is also used in reverse stay."""
    x = keras.Input((7,), dtype="int32")
    table = layers.ReversibleEmbedding(10, 8, name="a")
    y = layers.Dense(8, name="b")(table(x))
    model = randomize(keras.Model(x, table(y, reverse=True)))
    kill(model, "a", 3, variable="embeddings")
    return model, 0


def masked():
    """Masks are propagated as before."""
    x = keras.Input((7,), dtype="int32")
    y = layers.Embedding(10, 8, mask_zero=True, name="a")(x)
    y = layers.LSTM(6, return_sequences=True, name="b")(y)
    y = layers.GlobalAveragePooling1D()(y)
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    kill(model, "a", 3, variable="embeddings")
    kill(model, "c", 2, axis=0, bias=False)
    zero_units(model.get_layer("b").cell, 2, ["recurrent_kernel"], axis=0)
    return model, 3 * (10 + 24) + _recurrent(5, 4, 6, 4) + 2 * 2


def moved_by_ops():
    x = keras.Input((4, 6))
    y = layers.Dense(8, name="a")(x)
    y = ops.transpose(y, (0, 2, 1))
    y = ops.concatenate([y[:, :5], ops.flip(y[:, 5:], axis=2)], axis=1)
    y = ops.reshape(ops.mean(ops.expand_dims(y, 1), axis=-1), (-1, 8))
    parts = ops.split(y, [3], axis=-1)
    y = ops.concatenate([layers.Dense(4)(parts[0]), layers.Dense(5, name="b")(parts[1])], axis=-1)
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    kill(model, "a", 2)
    kill(model, "b", 3)
    return model, 2 * (6 + 1 + 4) + 3 * (5 + 1 + 2)


def dead_slice():
    """A slice of dead units keeps one of them: a tensor needs at least one."""
    x = keras.Input((6,))
    y = layers.Dense(4, name="a")(x)
    y = ops.concatenate([y[:, 2:], y[:, :2]], axis=-1)
    model = randomize(keras.Model(x, layers.Dense(3)(y)))
    kill(model, "a", 2)
    return model, 6 + 1 + 3


def mixer():
    """Dense layers along both axes in turn (MLP-Mixer)."""
    x = keras.Input((5, 6))
    y = layers.Dense(8, name="channels")(x)
    z = layers.Dense(7, "relu", name="tokens")(layers.Permute((2, 1))(y))
    z = layers.Permute((2, 1))(layers.Dense(4)(z))
    model = randomize(keras.Model(x, layers.Dense(3, name="after")(layers.Flatten()(z))))
    kill(model, "tokens", 3)
    kill(model, "channels", 2)
    # Dead channels stay: they get the biases of the tokens.
    return model, 3 * (5 + 1 + 4)


def causal():
    x = keras.Input((9, 4))
    y = layers.Conv1D(8, 3, padding="causal", activation="sigmoid", name="a")(x)
    y = layers.Conv1D(5, 3, padding="causal", dilation_rate=2, name="b")(y)
    model = randomize(keras.Model(x, y))
    kill(model, "a", 3)
    return model, 2 * (12 + 1 + 15)


def gate_of_one_channel():
    """A gate of one channel that multiplies all channels."""
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(8, 3, name="a")(x)
    gate = layers.Conv2D(1, 3, activation="sigmoid", name="gate")(x)
    y = layers.Conv2D(5, 3, name="b")(layers.Multiply()([y, gate]))
    model = randomize(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 45)


def python_functions():
    """Python functions as an activation and in a `Lambda` layer: they have no config."""
    x = keras.Input((6,))
    y = layers.Dense(8, lambda x: x * ops.sigmoid(x), name="a")(x)
    y = layers.Lambda(lambda x: ops.flip(x, -1))(layers.Dense(5, name="b")(y))
    model = randomize(keras.Model(x, layers.Dense(2)(y)))
    kill(model, "a", 3)
    return model, 3 * (6 + 1 + 5)


def array_initializers():
    x = keras.Input((7,), dtype="int32")
    table = np.random.default_rng(0).normal(size=(10, 8))
    y = layers.Embedding(10, 8, embeddings_initializer=keras.initializers.Constant(table), name="a")
    model = keras.Model(x, layers.LSTM(3)(y(x)))
    kill(model, "a", 3, variable="embeddings")
    return model, 3 * (10 + 12)


def attention_without_projections():
    """Dimensions of the scores that are zero, and constant values."""
    x = keras.Input((5, 6))
    query, key, value = (layers.Dense(8, name=name)(x) for name in ("query", "key", "value"))
    y = layers.Attention(use_scale=True)([query, value, key])
    model = randomize(keras.Model(x, layers.Dense(3, name="after")(y)))
    kill(model, "query", 2)
    kill(model, "value", 3, bias=False)
    return model, 2 * 2 * 7 + 3 * (7 + 3)


def squeezed_bias():
    """On TensorFlow, Keras adds this bias along the features if they are as many as the steps."""
    x = keras.Input((6, 4))
    y = layers.Dense(6, "relu", name="a")(x)
    y = layers.EinsumDense("btc,ts->bsc", (6, 6), bias_axes="s", name="einsum")(y)
    model = randomize(keras.Model(x, layers.Dense(2, name="b")(y)))
    kill(model, "b", 3, axis=0, bias=False)
    return model, 0 if keras.backend.backend() == "tensorflow" else 3 * (4 + 1 + 2)


def bias_of_heads():
    """With heads of size 1, Keras on TensorFlow would add the bias along the steps."""
    x = keras.Input((2, 4))
    y = layers.EinsumDense("btc,cnd->btnd", (2, 2, 3), bias_axes="nd", name="a")(x)
    model = randomize(keras.Model(x, layers.Dense(2, name="b")(y)))
    kill(model, "b", 2, axis=0, bias=False)
    return model, 2 * (4 + 1) + 2


CASES = [
    *(producer_dead, constant, consumer_dead, chain, without_bias, convolutions, carrier, folded),
    *(gain_of_zero, pooled, padded, depthwise, grouped, separable, transposed, residual),
    *(concatenated, squeezed, flattened, operations, embedded, siamese, nested, several_outputs),
    *(intermediate_output, any_size, unknown, normalized, softmax, nothing_dead, all_dead),
    *(
        heads,
        query_key_size,
        query_key_size_with_constants,
        query_key_size_with_new_biases,
        value_size,
        attention_inputs,
        cross_attention,
        attention_scores,
        grouped_attention,
        grouped_attention_size,
        simple_rnn,
        lstm,
        lstm_unused,
        gru,
        gru_plain,
        rnn_of_a_cell,
        states,
        bidirectional,
        stacked_cells,
        conv_lstm,
        time_distributed,
        einsum,
        einsum_folded,
        group_norm,
        instance_norm,
        rms_norm,
        rms_norm_of_a_constant,
        unit_norm,
        adapted,
        prelu,
        shuffled,
        partly_dead_groups,
        partly_dead_groups_without_bias,
        reversed_embedding,
        masked,
        moved_by_ops,
        mixer,
        dead_slice,
        causal,
        gate_of_one_channel,
        python_functions,
        array_initializers,
        attention_without_projections,
        squeezed_bias,
        bias_of_heads,
    ),
]
if not hasattr(layers, "ReversibleEmbedding"):  # In the oldest supported Keras.
    CASES.remove(reversed_embedding)
