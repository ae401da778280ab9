"""Small models with dead units, and how many of their parameters must go."""

import keras
import numpy as np
from keras import layers, ops


def randomize(model, seed=0):
    """Weights of all kinds at random, so that outputs react to inputs."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        value = 0.5 * rng.normal(size=variable.shape)
        is_variance = "variance" in variable.path
        variable.assign(np.abs(value) + 0.5 if is_variance else value)
    return model


def kill(model, name, units, axis=-1, bias=True, variable=None):
    """Set the first `units` of a layer to zero, with their bias or without."""
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
    """The bias of a dead unit goes on."""
    model = dense()
    kill(model, "a", 3, bias=False)
    return model, 3 * (6 + 1 + 5)


def consumer_dead():
    model = dense()
    kill(model, "b", 3, axis=0, bias=False)
    return model, 3 * (6 + 1 + 5)


def chain():
    """What only dead units read is dead."""
    model = dense()
    kill(model, "c", 3, axis=0, bias=False)
    b = model.get_layer("b").kernel
    rows, columns = np.arange(8)[:, None] < 4, np.arange(5) >= 3
    b.assign(np.where(rows & columns, 0, ops.convert_to_numpy(b)))
    # Half of a is read by nobody but the dead units of b.
    return model, 4 * (6 + 1 + 5) + 3 * (4 + 1 + 3)


def without_bias():
    """A layer without a bias gets one for the constants before it."""
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
    """A constant before zero padding: one channel stays and carries the others."""
    model = _image(layers.BatchNormalization(name="norm"), layers.Activation("sigmoid"))
    kill(model, "a", 4)
    return model, 3 * (27 + 1 + 4 + 9 * 6)


def folded():
    """A constant without padding goes into the bias."""
    model = _image(layers.BatchNormalization(), layers.ReLU(), padding="valid")
    kill(model, "a", 4)
    return model, 4 * (27 + 1 + 4 + 9 * 6)


def gain_of_zero():
    """What BatchNormalization multiplies by zero is constant, whatever comes in."""
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
    """A constant has a border of zeros after padding: another one carries it."""
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
    """What is added goes together."""
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
    """Squeeze and excite: a dead channel makes its gate useless."""
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
    """A shared layer: what is dead must be dead at every call."""
    inputs = [keras.Input((6,)), keras.Input((6,))]
    shared = layers.Dense(8, "relu", name="a")
    y = layers.Subtract()([shared(inputs[0]), shared(inputs[1])])
    model = randomize(keras.Model(inputs, layers.Dense(3, name="b")(y)))
    kill(model, "a", 4, bias=False)
    return model, 4 * (6 + 1 + 3)


def nested():
    """A model in a model, called twice, in a model."""
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
    """An output keeps its shape."""
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
    """A layer of someone's own."""

    def call(self, x):
        return ops.flip(x, axis=-1)


def unknown():
    """What nobody knows stays."""
    x = keras.Input((6,))
    y = Unknown(name="unknown")(layers.Dense(8, name="a")(x))
    y = layers.Dense(5, name="b")(y)
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    kill(model, "a", 4)
    kill(model, "b", 2)
    return model, 2 * (8 + 1 + 2)


def normalized():
    """LayerNormalization reads all features: they stay."""
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
    """One unit of each layer stays, also of the next one: it is constant."""
    model = dense()
    kill(model, "a", 8)
    return model, 7 * (6 + 1) + (8 * 5 + 5) - (1 + 1) + 4 * 3


CASES = [
    *(producer_dead, constant, consumer_dead, chain, without_bias, convolutions, carrier, folded),
    *(gain_of_zero, pooled, padded, depthwise, grouped, separable, transposed, residual),
    *(concatenated, squeezed, flattened, operations, embedded, siamese, nested, several_outputs),
    *(intermediate_output, any_size, unknown, normalized, softmax, nothing_dead, all_dead),
]
