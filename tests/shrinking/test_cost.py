"""FLOPs against sums by hand, TensorFlow's profiler and published numbers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasreg
from kerasreg._graph.analysis import Analysis
from kerasreg._graph.rules import rule_of
from kerasreg._shrinking.costs import costs, total
from kerasreg._shrinking.costs.flops import Shapes


def of(layer, *shapes, **kwargs):
    """Returns the FLOPs of one layer or operation on inputs of these shapes."""
    inputs = [keras.Input(shape) for shape in shapes]
    return kerasreg.flops(keras.Model(inputs, layer(*inputs, **kwargs)))


SEQUENCE, IMAGE = (5, 6), (8, 10, 6)
DENSE = 2 * 6 * 4 + 4


@pytest.mark.parametrize(("layer", "shapes", "expected"), [
    (lambda: layers.Dense(4), [(6,)], DENSE),
    (lambda: layers.Dense(4, use_bias=False), [SEQUENCE], 5 * 2 * 6 * 4),
    (lambda: layers.Dense(4, "relu"), [(6,)], DENSE + 4),
    (lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 4)), [SEQUENCE], 5 * 2 * 6 * 2 * 4),
    (lambda: layers.EinsumDense("...c,cd->...d", 4, bias_axes="d"), [SEQUENCE], 5 * DENSE),
    (lambda: layers.EinsumDense("abc,cd->ad", 4), [SEQUENCE], 5 * 2 * 6 * 4),
    (lambda: layers.Conv1D(4, 3), [SEQUENCE], 3 * 4 * (2 * 3 * 6 + 1)),
    (lambda: layers.Conv1D(4, 3, padding="causal"), [SEQUENCE], 5 * 4 * (2 * 3 * 6 + 1)),
    (lambda: layers.Conv2D(4, (3, 1), strides=2), [IMAGE], 3 * 5 * 4 * (2 * 3 * 6 + 1)),
    (lambda: layers.Conv2D(4, 3, dilation_rate=2), [IMAGE], 4 * 6 * 4 * (2 * 9 * 6 + 1)),
    (lambda: layers.Conv2D(4, 3, padding="same", groups=2), [IMAGE], 80 * 4 * (2 * 9 * 3 + 1)),
    (lambda: layers.Conv3D(4, 2), [(3, 4, 5, 6)], 2 * 3 * 4 * 4 * (2 * 8 * 6 + 1)),
    (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), [SEQUENCE], 3 * 12 * (2 * 3 + 1)),
    (lambda: layers.DepthwiseConv2D(3, padding="same"), [IMAGE], 80 * 6 * (2 * 9 + 1)),
    (lambda: layers.SeparableConv1D(4, 3), [SEQUENCE], 3 * (2 * 3 * 6 + 2 * 6 * 4 + 4)),
    (
        lambda: layers.SeparableConv2D(4, 3, depth_multiplier=2, use_bias=False),
        [IMAGE],
        48 * 2 * (9 * 12 + 12 * 4),
    ),
    (lambda: layers.Conv1DTranspose(4, 3), [SEQUENCE], 5 * 2 * 3 * 6 * 4 + 7 * 4),
    (
        lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False),
        [IMAGE],
        80 * 2 * 9 * 6 * 4,
    ),
    (lambda: layers.Conv3DTranspose(4, 2), [(3, 4, 5, 6)], 60 * 2 * 8 * 6 * 4 + 4 * 5 * 6 * 4),
    (lambda: layers.SimpleRNN(4), [SEQUENCE], 5 * (2 * (6 + 4) * 4 + 4 + 4)),
    (lambda: layers.LSTM(4), [SEQUENCE], 5 * 4 * (2 * (6 + 4) * 4 + 4 + 4)),
    (lambda: layers.GRU(4, reset_after=False), [SEQUENCE], 5 * 3 * (2 * (6 + 4) * 4 + 4 + 4)),
    (
        lambda: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.SimpleRNNCell(3)])),
        [SEQUENCE],
        5 * (4 * (2 * (6 + 4) * 4 + 4 + 4) + 2 * (4 + 3) * 3 + 3 + 3),
    ),
    (
        lambda: layers.Bidirectional(layers.SimpleRNN(4), merge_mode="sum"),
        [SEQUENCE],
        2 * 5 * (2 * (6 + 4) * 4 + 4 + 4) + 4,
    ),
    (
        lambda: layers.ConvLSTM1D(4, 3, padding="same"),
        [(2, 5, 6)],
        2 * 5 * 4 * (2 * 3 * (6 + 4) * 4 + 4 + 4),
    ),
    (lambda: layers.TimeDistributed(layers.Dense(4)), [SEQUENCE], 5 * DENSE),
    (
        lambda: layers.TimeDistributed(keras.Sequential([keras.Input((6,)), layers.Dense(4)])),
        [SEQUENCE],
        5 * DENSE,
    ),
    (lambda: layers.SpectralNormalization(layers.Dense(4)), [(6,)], DENSE),
    (lambda: layers.Embedding(9, 4), [(5,)], 0),
    (lambda: layers.BatchNormalization(), [IMAGE], 8 * 10 * 6),
    (lambda: layers.MaxPooling2D(2), [IMAGE], 8 * 10 * 6),
    (lambda: layers.GlobalAveragePooling2D(), [IMAGE], 8 * 10 * 6),
    (lambda: layers.Dropout(0.5), [IMAGE], 0),
    (lambda: layers.Flatten(), [IMAGE], 0),
    (lambda: lambda a, b: layers.Add()([a, b]), [SEQUENCE, (1, 6)], 5 * 6),
    (lambda: lambda a, b: layers.Dot(-1)([a, b]), [SEQUENCE, (4, 6)], 2 * 5 * 4 * 6),
    (lambda: lambda a, b: layers.Attention()([a, b]), [SEQUENCE, (3, 6)], 5 * 3 * (12 + 1 + 12)),
    (lambda: ops.matmul, [SEQUENCE, (6, 4)], 2 * 5 * 6 * 4),
    (lambda: lambda a, b: ops.einsum("abc,adc->abd", a, b), [SEQUENCE, (4, 6)], 2 * 5 * 6 * 4),
    (lambda: ops.transpose, [SEQUENCE], 0),
    (lambda: ops.tanh, [SEQUENCE], 5 * 6),
    (lambda: lambda a: ops.sum(a, 1), [SEQUENCE], 5 * 6),
    (lambda: layers.Lambda(lambda x: x), [SEQUENCE], None),
    (lambda: ops.cholesky, [(6, 6)], None),
])  # fmt: skip
def test_flops_of_a_layer_equal_a_sum_by_hand(layer, shapes, expected):
    assert of(layer(), *shapes) == expected


@pytest.mark.parametrize("kinds", [1, 2])
def test_flops_of_attention_equal_a_sum_by_hand(kinds):
    """Projections of 7 queries and of 5 keys and values, products, softmax, output."""
    if kinds == 1:
        layer, key_heads = layers.MultiHeadAttention(4, 3, value_dim=3), 4
    else:
        layer, key_heads = layers.GroupQueryAttention(3, 4, 2), 2
    projections = 7 * (2 * 6 + 1) * 4 * 3 + 2 * 5 * (2 * 6 + 1) * key_heads * 3
    output = 7 * (2 * 4 * 3 + 1) * 6
    scores = 4 * 7 * 5 * (2 * 3 + 1 + 2 * 3)
    assert of(layer, (7, 6), (5, 6)) == projections + output + scores
    query, value = keras.Input((7, 6)), keras.Input((5, 6))
    named = keras.Model([query, value], layer(value=value, query=query, key=value))
    assert kerasreg.flops(named) == projections + output + scores


def test_shared_and_nested_layers_count_at_every_call():
    shared = layers.Dense(6, use_bias=False)
    inner = keras.Sequential([keras.Input((6,)), shared, layers.Dense(2, use_bias=False)])
    x = keras.Input((6,))
    model = keras.Model(x, [inner(shared(x)), inner(x)])
    assert kerasreg.flops(model) == 2 * (3 * 6 * 6 + 2 * 6 * 2)


def test_undefined_sizes_need_an_input_shape():
    image, text = keras.Input((None, None, 3), name="image"), keras.Input((None,), name="text")
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, use_bias=False)(image))
    y = layers.GlobalMaxPooling1D()(layers.Embedding(9, 4)(text))
    model = keras.Model({"image": image, "text": text}, layers.Dense(2, use_bias=False)(x + y))
    assert kerasreg.flops(model) is None
    expected = 24 * 4 * (2 * 9 * 3 + 1) + 7 * 4 + 4 + 2 * 4 * 2
    assert kerasreg.flops(model, {"text": (7,), "image": (6, 8, 3)}) == expected
    assert kerasreg.flops(model, [(6, 8, 3), (7,)]) == expected
    assert {len(layer._inbound_nodes) for layer in model.layers} == {1}


def test_planned_flops_equal_those_of_the_smaller_model():
    wide, narrow = (
        keras.Sequential([
            keras.Input((8, 8, 3)),
            layers.Conv2D(width, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(5),
        ])
        for width in (6, 4)
    )  # fmt: skip
    analysis = Analysis(wide, rule_of)
    kernel = analysis.slices[id(wide.layers[0].kernel)].axes[3]
    gone = np.isin(analysis.roots, analysis.roots[kernel[[1, 4]]])
    after = Shapes(analysis=analysis, gone=gone)
    assert total(costs(analysis.graph, after).values()) == kerasreg.flops(narrow)
    before = Shapes(analysis=analysis, gone=np.zeros_like(gone))
    assert total(costs(analysis.graph, before).values()) == kerasreg.flops(wide)


@pytest.mark.parametrize(("name", "published"), [
    ("ResNet50", 7.75e9),
    ("MobileNetV2", 0.61e9),
])  # fmt: skip
def test_flops_of_an_architecture_are_close_to_published_numbers(name, published):
    """Twice the published multiply-adds; other operations add less than two percent."""
    model = getattr(keras.applications, name)(weights=None)
    assert kerasreg.flops(model) == pytest.approx(published, rel=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow's profiler")
def test_flops_equal_those_of_the_tensorflow_profiler():
    x = keras.Input((16, 12, 4))
    y = layers.Conv2D(6, 3, strides=2, padding="same")(x)
    y = layers.DepthwiseConv2D(3, use_bias=False)(y)
    y = layers.Conv2D(6, (1, 2), dilation_rate=2)(y)
    y = layers.SeparableConv2D(5, 2, use_bias=False)(y)
    y = layers.Flatten()(y)
    model = keras.Model(x, layers.Dense(7)(y))
    assert kerasreg.flops(model) == _profiled(model, (1, 16, 12, 4))


def _profiled(model, shape):
    import tensorflow as tf
    from tensorflow.python.profiler.model_analyzer import profile
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    function = tf.function(lambda x: model(x, training=False))
    graph = function.get_concrete_function(tf.TensorSpec(shape)).graph
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation())
    return profile(graph, options=options.with_empty_output().build()).total_float_ops


def subclassed():
    class Net(keras.Model):
        def call(self, x):
            return self.layers[0](x)

    net = Net()
    net.dense = layers.Dense(2)
    net(np.ones((1, 3)))
    return net


class Doubled(keras.Model):
    """A Functional model whose `call` computes more than its graph."""

    def call(self, x):
        return 2 * super().call(x)


def overridden_call():
    x = keras.Input((3,))
    return Doubled(x, layers.Dense(2)(x))


@pytest.mark.parametrize(("make", "shape", "message"), [
    (subclassed, None, "built Functional or Sequential.*'net', a Net"),
    (overridden_call, None, "a Doubled.*a subclass must not override `call`"),
    (lambda: keras.Sequential([layers.Dense(2)]), None, "start a Sequential with `keras.Input"),
    (
        lambda: keras.Sequential([keras.Input((None, 3)), layers.Dense(2)]),
        (5, 4),
        r"must fit.*without the batch axis: \(None, 3\)\. Received: input_shape=\(5, 4\)",
    ),
])  # fmt: skip
def test_models_and_shapes_that_cannot_be_counted_are_rejected(make, shape, message):
    with pytest.raises(ValueError, match=message):
        kerasreg.flops(make(), shape)
