"""Convex problems on real data with known solutions, and fast training on them."""

import functools

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

import kerasreg


@functools.cache
def diabetes():
    """Returns standardised `(x, y)`: 442 patients, 10 features."""
    x, y = load_diabetes(return_X_y=True)
    return _standardised(x), _standardised(y[:, None])


@functools.cache
def decorrelated():
    """Returns `(x, y)`: the diabetes data with decorrelated features and three targets.

    The squared error has the same curvature in all directions, so that few steps are enough.
    """
    x, y = diabetes()
    y = np.concatenate([y, x[:, 2:3] - y, 0.5 * y + x[:, 8:9]], axis=1)
    left, _, _ = np.linalg.svd(x.astype("float64"), full_matrices=False)
    # The signs of singular vectors depend on the LAPACK of the machine.
    left *= np.sign(left[np.abs(left).argmax(0), range(left.shape[1])])
    return (left * np.sqrt(len(x))).astype("float32"), y


@functools.cache
def breast_cancer():
    """Returns `(x, y)` with standardised x: 569 tumours, 30 features, y is 0 or 1."""
    x, y = load_breast_cancer(return_X_y=True)
    return _standardised(x), y[:, None].astype("float32")


def solution(model, x, y):
    """Returns the weights `(features, outputs)` of a linear model of scikit-learn, in float64.

    The tolerance is smaller than that of any test, but large enough that rounding does not prevent
    convergence.
    """
    if isinstance(model, ElasticNet):
        model.set_params(tol=1e-10, max_iter=100_000)
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    model.fit(x, y[:, 0] if y.shape[1] == 1 else y)
    return np.atleast_2d(model.coef_).T


def lasso(x, y, factor, **kwargs):
    """The minimiser of `mean((x w - y)^2) + factor * sum(|w|)`. scikit-learn halves the error."""
    factor *= y.shape[1]
    return solution(Lasso(alpha=factor / 2, fit_intercept=False, **kwargs), x, y)


def linear(features, regularizer, units=1, **kwargs):
    """A linear model without bias."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(units, use_bias=False, kernel_regularizer=regularizer, **kwargs)
    return keras.Sequential([keras.Input((features,)), layer])


def trained_together(x, y, layers, optimizer, steps):
    """Returns the kernels of independent linear layers, each with a squared error, after one fit.

    One fit of all is faster than a fit for each: starting a fit takes longer than its steps.
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
    """Repeats one batch endlessly, in the fastest way of the backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensors((x, y)).repeat()
    return _forever(x, y)


def _forever(x, y):
    while True:
        yield x, y


def compile_fast(model, optimizer, loss, **kwargs):
    """Compiles a model for many small steps."""
    if keras.backend.backend() == "tensorflow":
        kwargs = {"steps_per_execution": 100, "jit_compile": False, **kwargs}
    model.compile(optimizer, loss, **kwargs)


def kernel(model):
    """Returns the first variable of a model as an array."""
    return np.asarray(keras.ops.convert_to_numpy(model.weights[0]))


def _standardised(x):
    return ((x - x.mean(0)) / x.std(0)).astype("float32")
