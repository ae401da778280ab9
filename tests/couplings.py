"""Small models whose units are coupled."""

import keras
import numpy as np
from keras import layers, ops
from shrinkable import randomize


def convolution(filters, size, name):
    return layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)


def residual():
    """A stem and two blocks whose outputs are added."""
    x = keras.Input((8, 8, 3))
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(convolution(8, 3, "stem")(x)))
    for place in "ab":
        z = layers.BatchNormalization(name=f"{place}1_norm")(convolution(12, 3, f"{place}1")(y))
        z = convolution(8, 3, f"{place}2")(layers.ReLU()(z))
        z = layers.BatchNormalization(name=f"{place}2_norm")(z)
        y = layers.ReLU()(layers.Add()([y, z]))
    y = layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(y))
    return randomize(keras.Model(x, y, name="residual"))


def connected():
    """A DenseNet: every convolution reads the concatenation of all previous outputs."""
    x = keras.Input((8, 8, 3))
    y = convolution(6, 3, "stem")(x)
    for place in "ab":
        z = layers.ReLU()(layers.BatchNormalization(name=f"{place}_norm")(y))
        y = layers.Concatenate()([y, convolution(4, 3, place)(z)])
    y = layers.GlobalAveragePooling2D()(layers.BatchNormalization(name="norm")(y))
    return randomize(keras.Model(x, layers.Dense(3, name="head")(y), name="connected"))


def flat():
    """Flattened channels, each with several rows of the last kernel, and a depthwise kernel."""
    stack = [
        keras.Input((5, 5, 2)),
        layers.Conv2D(8, 3, activation="relu", name="a"),
        layers.DepthwiseConv2D(1, depth_multiplier=2, name="deep"),
        layers.Flatten(),
        layers.Dense(4, name="b"),
    ]
    return randomize(keras.Sequential(stack, name="flat"))


def outputs(model, seed=1):
    x = np.random.default_rng(seed).normal(size=(3, *model.inputs[0].shape[1:]))
    return np.asarray(ops.convert_to_numpy(model(x, training=False)))
