"""Real, convex problems with known solutions, and a fast way to train on them."""

import functools

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

import kerasreg


@functools.cache
def diabetes():
    """`(x, y)`, standardised: 442 patients, 10 features."""
    x, y = load_diabetes(return_X_y=True)
    return _standardised(x), _standardised(y[:, None])


@functools.cache
def decorrelated():
    """`(x, y)`: the diabetes data with decorrelated features and three targets.

    For few steps of training: the squared error has the same curvature everywhere.
    """
    x, y = diabetes()
    y = np.concatenate([y, x[:, 2:3] - y, 0.5 * y + x[:, 8:9]], axis=1)
    left, _, _ = np.linalg.svd(x.astype("float64"), full_matrices=False)
    # The signs of singular vectors are those that the machine's LAPACK happens to choose.
    left *= np.sign(left[np.abs(left).argmax(0), range(left.shape[1])])
    return (left * np.sqrt(len(x))).astype("float32"), y


@functools.cache
def breast_cancer():
    """`(x, y)`, standardised: 569 tumours, 30 features, y is 0 or 1."""
    x, y = load_breast_cancer(return_X_y=True)
    return _standardised(x), y[:, None].astype("float32")


def solution(model, x, y):
    """The weights `(features, outputs)` of a linear model of scikit-learn, in float64.

    Exact to more than any test asks for, and far from where the rounding of a machine's kernels
    decides whether it has converged.
    """
    if isinstance(model, ElasticNet):
        model.set_params(tol=1e-10, max_iter=100_000)
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    model.fit(x, y[:, 0] if y.shape[1] == 1 else y)
    return np.atleast_2d(model.coef_).T


def lasso(x, y, factor, **kwargs):
    """The minimiser of `mean((x w - y)^2) + factor * sum(|w|)`: scikit-learn halves the error."""
    factor *= y.shape[1]
    return solution(Lasso(alpha=factor / 2, fit_intercept=False, **kwargs), x, y)


def linear(features, regularizer, units=1, **kwargs):
    """A linear model without bias."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(units, use_bias=False, kernel_regularizer=regularizer, **kwargs)
    return keras.Sequential([keras.Input((features,)), layer])


def trained_together(x, y, layers, optimizer, steps):
    """The kernels of linear layers that know nothing of each other, after one fit of them all.

    A fit costs more than its steps do. Every layer has a squared error of its own.
    """
    keras.utils.set_random_seed(0)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, {layer.name: layer(inputs) for layer in layers})
    compile_fast(model, optimizer, {layer.name: "mse" for layer in layers})
    train(model, x, {layer.name: y for layer in layers}, steps)
    return [np.asarray(keras.ops.convert_to_numpy(layer.kernel)) for layer in layers]


def train(model, x, y, steps, callbacks=None, **kwargs):
    """Full-batch steps in one epoch, with `ProximalGradient` if no callbacks are given."""
    if callbacks is None:
        callbacks = [kerasreg.callbacks.ProximalGradient()]
    data = batches(x, y)
    kwargs = {"epochs": 1, "steps_per_epoch": steps, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(data, callbacks=callbacks, **kwargs)


def batches(x, y):
    """The same batch again and again, the fast way of each backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensors((x, y)).repeat()
    return _forever(x, y)


def _forever(x, y):
    while True:
        yield x, y


def compile_fast(model, optimizer, loss, **kwargs):
    """Compile for many small steps."""
    if keras.backend.backend() == "tensorflow":
        kwargs = {"steps_per_execution": 100, "jit_compile": False, **kwargs}
    model.compile(optimizer, loss, **kwargs)


def kernel(model):
    """The first weights of a model."""
    return np.asarray(keras.ops.convert_to_numpy(model.weights[0]))


def _standardised(x):
    return ((x - x.mean(0)) / x.std(0)).astype("float32")
