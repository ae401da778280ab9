"""A small model, fits of a few batches, and callbacks that record or interrupt them."""

import keras
import numpy as np
from keras import layers

BACKEND = keras.backend.backend()
#: The fast way to compile small models.
PLAIN = {"jit_compile": False} if BACKEND == "tensorflow" else {}


def net(optimizer="sgd", seed=0, **kwargs):
    """Returns a compiled model with kernels of 6x8 and 8x1."""
    keras.utils.set_random_seed(seed)
    hidden = layers.Dense(8, activation="tanh", name="hidden", **kwargs)
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(1, name="head")], name="net")
    model.compile(optimizer, "mse", **PLAIN)
    return model


def fit(model, callbacks, epochs=4, **kwargs):
    """Trains with four batches per epoch; every weight gets gradients."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 6)), rng.normal(size=(32, 1))
    options = {"batch_size": 8, "epochs": epochs, "verbose": 0, "shuffle": False, **kwargs}
    return model.fit(x, y, callbacks=callbacks, **options)


def kernel(model):
    return np.array(keras.ops.convert_to_numpy(model.get_layer("hidden").kernel))


class Watch(keras.callbacks.Callback):
    """Records the kernel after every batch and epoch."""

    def on_train_begin(self, logs=None):
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(kernel(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(kernel(self.model))


class Interrupt(keras.callbacks.Callback):
    """Interrupts the fit in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.epoch = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.at and batch >= 1:
            raise KeyboardInterrupt


def trained(optimizer="sgd", **kwargs):
    """Returns the model of `net` after a fit without callbacks."""
    model = net(optimizer, **kwargs)
    fit(model, [], epochs=1)
    return model


class _WithoutUpdates(keras.Model):
    def train_step(self, *args, **kwargs):
        return ({"loss": 0.0}, args[0]) if BACKEND == "jax" else {"loss": 0.0}


def without_updates(optimizer="sgd"):
    """Returns a model that does not use the optimizer of `compile`, like a GAN."""
    x = keras.Input((6,))
    model = _WithoutUpdates(x, layers.Dense(1)(x))
    model.compile(optimizer, "mse", run_eagerly=BACKEND != "jax")
    return model


def attributes(model):
    """Returns the attributes of a model and of its optimizer, and the number of variables of it."""
    return set(model.__dict__), set(model.optimizer.__dict__), len(model.optimizer.variables)
