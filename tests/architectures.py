"""Models of every kind of construction. Without kerasreg, so that stock Keras can open them."""

import json
import warnings

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("tests")
class Scale(layers.Layer):
    """A user-defined layer, whose weights have no argument for a regularizer."""

    #: No config contains it.
    mixing_regularizer = None

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.mixing = self.add_weight(shape=(shape[-1], shape[-1]), name="mixing")

    def call(self, x):
        return ops.matmul(x * self.scale, self.mixing)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, name="hidden")
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        return self.head(self.hidden(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("tests")
class OwnFunctional(keras.Model):
    """A Functional model of a user-defined class."""

    @classmethod
    def from_shapes(cls):
        inputs = keras.Input((4,))
        return cls(inputs, Scale(name="scale")(inputs))


def functional():
    inputs = keras.Input((4,))
    x = layers.Dense(3, activation="relu", name="hidden")(inputs)
    y = layers.Dense(3, name="skip")(inputs)
    return keras.Model(inputs, layers.Dense(1, name="head")(x + y))


def sequential():
    hidden = layers.Dense(3, activation="relu", name="hidden")
    return keras.Sequential([keras.Input((4,)), hidden, layers.Dense(1, name="head")])


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    return model


def nested():
    inner = keras.Sequential([keras.Input((4,)), Scale(name="scale")], name="inner")
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="dense")(inner(inputs))
    middle = keras.Model(inputs, layers.MultiHeadAttention(2, 2, name="mha")(*[x[:, None]] * 2))
    middle.name = "middle"
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(1, name="head")(middle(inputs)))


def subclassed_inside():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(1, name="out")(Subclassed(name="inner")(inputs)))


def pretrained():
    model = keras.applications.MobileNetV2(
        alpha=0.35, input_shape=(32, 32, 3), weights=None, classes=2
    )
    return model


def attention():
    inputs = keras.Input((5, 4))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 3, name="mha")(inputs, inputs))


def custom():
    return keras.Sequential([keras.Input((4,)), Scale(name="scale"), layers.Dense(1, name="head")])


def own_functional():
    return OwnFunctional.from_shapes()


def recurrent():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            layers.LSTM(3, return_sequences=True, name="lstm"),
            layers.RNN(layers.GRUCell(3, name="cell"), return_sequences=True, name="rnn"),
            layers.RNN(
                [layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True, name="stack"
            ),
            layers.Bidirectional(layers.GRU(2, return_sequences=True), name="both"),
            layers.TimeDistributed(layers.Dense(3, name="step"), name="steps"),
        ]
    )


def shared():
    layer, scale = layers.Dense(4, name="shared"), Scale(name="scale")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    x = layers.concatenate([layer(scale(left)), layer(scale(right))])
    return keras.Model([left, right], layers.Dense(1, name="head")(x))


def convolutional():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.SeparableConv2D(4, 2, name="separable"),
            layers.SpectralNormalization(layers.Conv2D(3, 2, name="wrapped"), name="spectral"),
        ]
    )


#: name: (build, {pattern of the rule: which regularizer of `PENALTIES`})
MODELS = {
    "functional": (functional, {"hidden/kernel": "l1", "skip|head/bias": "keras"}),
    "sequential": (sequential, {"kernel": "l1"}),
    "subclassed": (subclassed, {"hidden/kernel": "group", "head/kernel": "l1"}),
    "nested": (nested, {"scale/mixing": "columns", "mha/query/kernel": "l1", "dense|head": "l1"}),
    "subclassed_inside": (subclassed_inside, {"hidden/kernel": "group", "out/kernel": "l1"}),
    "pretrained": (pretrained, {"depthwise/kernel": "channel", "Conv.*kernel|predictions": "l1"}),
    "attention": (attention, {"query/kernel": "heads"}),
    "custom": (custom, {"scale": "l1"}),
    "own_functional": (own_functional, {"mixing": "l1"}),
    "recurrent": (recurrent, {"kernel": "units", "bias": "keras"}),
    "shared": (shared, {"shared/kernel": "l1", "mixing": "columns"}),
    "convolutional": (convolutional, {"kernel": "l1", "gamma": "l1", "bias": "keras"}),
}


def inputs_of(model, batch=8):
    rng = np.random.default_rng(0)
    shapes = [(4,)] if isinstance(model, Subclassed) else [x.shape[1:] for x in model.inputs]
    arrays = [rng.normal(size=(batch, *shape)).astype("float32") for shape in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


def regularizers(model):
    """Returns `{"position/name": regularizer}`: loading a model changes the paths of variables."""
    return {
        f"{position}/{variable.name}": variable.regularizer
        for position, variable in enumerate(model.weights)
        if variable.regularizer is not None
    }


def describe(model):
    """Returns what must be kept: regularizers, penalty, class, compilation, optimizer, output."""
    compiled = bool(model.compiled)
    return {
        "regularizers": {
            name: [type(regularizer).__name__, json.loads(json.dumps(regularizer.get_config()))]
            for name, regularizer in regularizers(model).items()
        },
        "penalty": float(sum(float(ops.convert_to_numpy(loss)) for loss in model.losses)),
        "kind": type(model).__name__,
        "compiled": compiled,
        "iterations": int(ops.convert_to_numpy(model.optimizer.iterations)) if compiled else None,
        "slots": [float(np.sum(ops.convert_to_numpy(v))) for v in model.optimizer.variables[2:]]
        if compiled
        else None,
        "output": float(np.sum(ops.convert_to_numpy(_outputs(model)))),
    }


def _outputs(model):
    with warnings.catch_warnings():
        # Keras 3.10 warns about the inputs of every Functional model that it has loaded.
        warnings.simplefilter("ignore")
        return model(inputs_of(model))
