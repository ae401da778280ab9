"""What was compiled with other penalties is compiled anew, in every model that has the weights."""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from watched import PLAIN

import kerasreg
from kerasreg.regularizers import L1


class Wrapper(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.parts = {"inner": inner}
        self.head = layers.Dense(1)

    def call(self, x):
        return self.head(self.parts["inner"](x))


def functional(inner):
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(1)(inner(x)))


def deep(inner):
    x = keras.Input((4,))
    return keras.Sequential([keras.Input((4,)), functional(keras.Model(x, inner(x)))])


def layer_of_layers(inner):
    x = keras.Input((3, 4))
    y = layers.TimeDistributed(inner)(x)
    return keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(y)))


OUTER = {
    "functional": functional,
    "sequential": lambda inner: keras.Sequential([keras.Input((4,)), inner, layers.Dense(1)]),
    "subclassed": Wrapper,
    "deep": deep,
    "wrapped": layer_of_layers,
    "a part of its graph": lambda inner: keras.Model(
        inner.inputs[0], layers.Dense(1)(inner.layers[-1].output)
    ),
}


def value(tensor):
    return float(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def test_attach_and_detach():
    """All models around one inner model, which was compiled into them before."""
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="own")], name="inner")
    models = {name: make(inner) for name, make in OUTER.items()}
    y, data = np.ones((2, 1), "float32"), {}
    for name, model in models.items():
        data[name] = np.ones((2, 3, 4) if name == "wrapped" else (2, 4), "float32")
        model.compile(optimizers.SGD(0.0), "mse", **PLAIN)
    for factor in (0.0, 0.5, 0.0):
        if factor:
            kerasreg.attach(inner, {"own/kernel": L1(factor)})
        else:
            kerasreg.detach(inner)
        penalty = factor * value(ops.sum(ops.abs(ops.convert_to_tensor(inner.layers[0].kernel))))
        for name, model in models.items():
            error = value(ops.mean((model(data[name]) - ops.convert_to_tensor(y)) ** 2))
            loss = float(model.train_on_batch(data[name], y))
            assert loss == pytest.approx(error + penalty, 1e-5), name
            if name == "functional":
                loss = float(model.test_on_batch(data[name], y))
                assert loss == pytest.approx(error + penalty, 1e-5)


def test_a_context_around_the_fit_of_an_outer_model_applies():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=L1(1.0))])
    outer = Wrapper(inner)
    outer.compile(optimizers.SGD(0.1), "mse", **PLAIN)
    data = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    outer.fit(*data, verbose=0)
    kernel = inner.layers[0].kernel

    def zeros():
        return np.sum(ops.convert_to_numpy(kernel) == 0)

    with kerasreg.proximal(inner, outer.optimizer):
        outer.fit(*data, epochs=30, verbose=0)
    assert zeros() == 12
    kernel.assign(np.full((4, 3), 0.3))
    outer.fit(*data, verbose=0)
    assert zeros() == 0


def test_models_that_share_nothing_stay_compiled():
    inner, stranger = (functional(layers.Dense(3)) for _ in range(2))
    data = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    for model in (inner, stranger):
        model.compile("sgd", "mse", **PLAIN)
        model.fit(*data, verbose=0)
    functions = inner.train_function, stranger.train_function
    kerasreg.attach(inner, {"kernel": L1(0.1)})
    assert inner.train_function is not functions[0]
    assert stranger.train_function is functions[1]
