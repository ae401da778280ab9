"""Whatever the optimizer, the optimum is that of the written objective."""

import keras
import numpy as np
import pytest
from keras import optimizers
from problems import breast_cancer, compile_fast, diabetes, kernel, linear, train
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

import kerasreg
from kerasreg.regularizers import L1, L1L2, L2, GroupLasso

# Name: how to make it, its learning rate for the diabetes data and for the breast cancer data.
OPTIMIZERS = {
    "SGD": (lambda rate: optimizers.SGD(rate), 0.05, 0.25),
    "momentum": (lambda rate: optimizers.SGD(rate, momentum=0.9), 0.01, 0.05),
    "Nesterov": (lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True), 0.01, 0.05),
    "Adam": (lambda rate: optimizers.Adam(rate), 0.01, 0.05),
    "AMSGrad": (lambda rate: optimizers.Adam(rate, amsgrad=True), 0.01, 0.05),
    "AdamW": (lambda rate: optimizers.AdamW(rate, weight_decay=0.0), 0.01, 0.05),
    "Adamax": (lambda rate: optimizers.Adamax(rate), 0.01, 0.05),
    "Nadam": (lambda rate: optimizers.Nadam(rate), 0.01, 0.05),
    "Adagrad": (lambda rate: optimizers.Adagrad(rate), 0.1, 1.0),
    "RMSprop": (lambda rate: optimizers.RMSprop(rate), 0.002, 0.05),
    "RMSprop, momentum": (lambda rate: optimizers.RMSprop(rate, momentum=0.9), 0.0005, 0.002),
    "RMSprop, centered": (
        lambda rate: optimizers.RMSprop(_decaying(rate), centered=True),
        0.002,
        0.01,
    ),
}
on_diabetes = pytest.mark.parametrize(
    "optimizer", [lambda m=m, r=r: m(r) for m, r, _ in OPTIMIZERS.values()], ids=OPTIMIZERS
)
on_breast_cancer = pytest.mark.parametrize(
    "optimizer", [lambda m=m, r=r: m(r) for m, _, r in OPTIMIZERS.values()], ids=OPTIMIZERS
)


def _decaying(rate):
    # The centred second moment of a gradient that settles is 0: its steps grow without bound.
    return optimizers.schedules.ExponentialDecay(rate, 1000, 0.3)


def trained(x, y, regularizer, optimizer, steps, loss="mse"):
    model = linear(x.shape[1], regularizer, y.shape[1])
    compile_fast(model, optimizer(), loss)
    train(model, x, y, steps)
    return kernel(model).astype("float64")


def squared_error(w, x, y):
    return np.mean((y - x.astype("float64") @ w) ** 2)


def assert_same_optimum(w, reference, objective):
    assert np.array_equal(w != 0, reference != 0)
    assert objective(w) - objective(reference) <= 1e-5 * objective(reference)


@on_diabetes
def test_lasso_is_that_of_scikit_learn(optimizer):
    x, y = diabetes()
    factor = 0.2
    w = trained(x, y, keras.regularizers.L1(factor), optimizer, steps=3000)
    # scikit-learn halves the squared error, Keras does not.
    reference = Lasso(alpha=factor / 2, fit_intercept=False, tol=1e-12).fit(x, y).coef_[:, None]
    assert 0 < np.sum(reference != 0) < 10
    assert_same_optimum(w, reference, lambda w: squared_error(w, x, y) + factor * np.abs(w).sum())


@on_diabetes
def test_elastic_net_is_that_of_scikit_learn(optimizer):
    x, y = diabetes()
    l1, l2 = 0.1, 0.05
    w = trained(x, y, L1L2(l1, l2), optimizer, steps=3000)
    alpha = l1 / 2 + l2
    reference = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, fit_intercept=False, tol=1e-12)
    reference = reference.fit(x, y).coef_[:, None]
    assert 0 < np.sum(reference != 0) < 10
    assert_same_optimum(
        w,
        reference,
        lambda w: squared_error(w, x, y) + l1 * np.abs(w).sum() + l2 * np.square(w).sum(),
    )


@on_diabetes
def test_ridge_is_that_of_scikit_learn(optimizer):
    x, y = diabetes()
    factor = 0.1
    w = trained(x, y, L2(factor), optimizer, steps=3000)
    reference = Ridge(alpha=factor * len(x), fit_intercept=False).fit(x, y).coef_.reshape(-1, 1)
    assert_same_optimum(
        w, reference, lambda w: squared_error(w, x, y) + factor * np.square(w).sum()
    )


@on_breast_cancer
def test_logistic_l1_is_that_of_scikit_learn(optimizer):
    x, y = breast_cancer()
    factor = 0.25
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    w = trained(x, y, L1(factor), optimizer, steps=6000, loss=loss)
    reference = LogisticRegression(
        C=1 / (factor * len(x)), l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-10
    )
    reference = reference.fit(x.astype("float64"), y[:, 0]).coef_.T

    def objective(w):
        margin = (2 * y - 1) * (x.astype("float64") @ w)
        return np.mean(np.logaddexp(0, -margin)) + factor * np.abs(w).sum()

    assert 0 < np.sum(reference != 0) < 30
    assert_same_optimum(w, reference, objective)


@on_diabetes
def test_group_lasso_satisfies_its_optimality_conditions(optimizer):
    """Per group: `-gradient = factor sqrt(d) w / ||w||`, or `||gradient|| <= factor sqrt(d)`."""
    x, y = diabetes()
    # Three targets, and all weights of an input feature in one group.
    y = np.concatenate([y, x[:, 2:3] - y, 0.5 * y + x[:, 8:9]], axis=1)
    factor = 0.15
    w = trained(x, y, GroupLasso(factor, axis=0), optimizer, steps=4000)
    gradient = 2 * x.astype("float64").T @ (x @ w - y) / y.size
    limit = factor * np.sqrt(y.shape[1])
    norms = np.linalg.norm(w, axis=1)
    assert 0 < np.sum(norms == 0) < 10
    for g, v, norm in zip(gradient, w, norms, strict=True):
        if norm == 0:
            assert np.all(v == 0)
            assert np.linalg.norm(g) <= limit * (1 + 1e-5)
        else:
            np.testing.assert_allclose(-g, limit * v / norm, atol=1e-3 * limit)


def test_decaying_learning_rate_under_momentum():
    """Keras keeps the rate inside of the velocity; `lr / (1 - momentum)` would be too strong."""
    x, y = diabetes()
    factor = 0.2
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 200, 0.5)
    w = trained(x, y, L1(factor), lambda: keras.optimizers.SGD(schedule, momentum=0.9), steps=1500)
    reference = Lasso(alpha=factor / 2, fit_intercept=False, tol=1e-12).fit(x, y).coef_[:, None]
    assert_same_optimum(w, reference, lambda w: squared_error(w, x, y) + factor * np.abs(w).sum())


@pytest.mark.parametrize("name", ["Ftrl", "Lion", "Adadelta", "Adafactor", "Lamb"])
def test_an_optimizer_without_a_known_step_is_refused_by_name(name):
    x, y = diabetes()
    model = linear(10, "l1")
    model.compile(getattr(keras.optimizers, name)(0.01), "mse")
    with pytest.raises(ValueError, match=rf"optimizer {name}.*Expected one of.*Adam"):
        train(model, x, y, steps=1)
    assert not any("kerasreg" in key for key in vars(model.optimizer))


def test_a_subclass_with_an_update_of_its_own_is_refused():
    class MyAdam(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, gradient)

    x, y = diabetes()
    model = linear(10, "l1")
    model.compile(MyAdam(), "mse")
    with pytest.raises(ValueError, match="MyAdam"):
        train(model, x, y, steps=1)


def test_centered_rmsprop_with_momentum_is_refused():
    model = linear(10, "l1")
    model.compile(keras.optimizers.RMSprop(momentum=0.9, centered=True), "mse")
    with pytest.raises(ValueError, match="centered"):
        train(model, *diabetes(), steps=1)


def test_a_plain_subclass_has_the_step_of_its_parent():
    class MyAdam(keras.optimizers.Adam):
        pass

    model = linear(10, L1(10.0))
    model.compile(MyAdam(0.1), "mse")
    train(model, *diabetes(), steps=50)
    assert np.all(kernel(model) == 0)
    assert kerasreg.statistics(model).total.zeros == 10
