"""Every optimizer reaches the optimum of the objective as written."""

import keras
import numpy as np
import pytest
from keras import optimizers
from problems import breast_cancer, compile_fast, diabetes, kernel, lasso, linear, solution, train
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

import kerasreg
from kerasreg._proximal.registry import supported
from kerasreg.regularizers import L1, L1L2, L2, MCP, GroupLasso


def decaying(rate):
    """A decaying rate, for optimizers whose steps do not become small by themselves."""
    return optimizers.schedules.ExponentialDecay(rate, 2000, 0.2)


def muon(rate):
    return optimizers.Muon(rate, weight_decay=None, adam_weight_decay=None)


def split(rate):
    return optimizers.MultiOptimizer(lambda variable: optimizers.Adam(rate))


# Name: constructor, and learning rates for the diabetes data and for the breast cancer data (None:
# too slow for a test, because the steps are small while nearly all weights are zero).
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
    "Adadelta": (
        lambda rate: optimizers.Adadelta(decaying(rate), rho=0.9, epsilon=1e-4),
        0.3,
        None,
    ),
    "Adafactor": (lambda rate: optimizers.Adafactor(rate, epsilon_2=0.1), 0.2, None),
    "Adafactor, clipped": (
        lambda rate: optimizers.Adafactor(decaying(rate), clip_threshold=0.5, epsilon_2=0.1),
        0.2,
        None,
    ),
    "Lamb": (lambda rate: optimizers.Lamb(decaying(rate)), 0.1, None),
    "Lion": (lambda rate: optimizers.Lion(decaying(rate)), 0.01, 0.1),
    "RMSprop": (lambda rate: optimizers.RMSprop(rate), 0.002, 0.05),
    "RMSprop, momentum": (lambda rate: optimizers.RMSprop(rate, momentum=0.9), 0.0005, 0.002),
    # The centred second moment of a gradient that settles is 0: its steps grow without bound.
    "RMSprop, centered": (
        lambda rate: optimizers.RMSprop(decaying(rate), centered=True),
        0.002,
        0.01,
    ),
}
if hasattr(optimizers, "MultiOptimizer"):
    OPTIMIZERS["MultiOptimizer"] = (split, 0.01, 0.05)
on_diabetes = pytest.mark.parametrize(
    "optimizer", [lambda m=m, r=r: m(r) for m, r, _ in OPTIMIZERS.values()], ids=OPTIMIZERS
)
on_breast_cancer = pytest.mark.parametrize(
    "optimizer",
    [lambda m=m, r=r: m(r) for m, _, r in OPTIMIZERS.values() if r is not None],
    ids=[name for name, (_, _, rate) in OPTIMIZERS.items() if rate is not None],
)


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
    reference = lasso(x, y, factor)
    assert 0 < np.sum(reference != 0) < 10
    assert_same_optimum(w, reference, lambda w: squared_error(w, x, y) + factor * np.abs(w).sum())


@on_diabetes
def test_elastic_net_is_that_of_scikit_learn(optimizer):
    x, y = diabetes()
    l1, l2 = 0.1, 0.05
    w = trained(x, y, L1L2(l1, l2), optimizer, steps=3000)
    alpha = l1 / 2 + l2
    reference = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, fit_intercept=False)
    reference = solution(reference, x, y)
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
    reference = solution(Ridge(alpha=factor * len(x), fit_intercept=False), x, y)
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
    reference = solution(reference, x, y)

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


@on_diabetes
def test_mcp_reaches_a_minimum(optimizer):
    """No change of one weight lowers the objective; `-gradient` is the slope of the penalty."""
    x, y = diabetes()
    factor, gamma = 0.2, 3.0
    w = trained(x, y, MCP(factor, gamma), optimizer, steps=6000)
    assert 0 < np.sum(w != 0) < 10

    def penalty(v):
        inside = np.minimum(np.abs(v), gamma * factor)
        return factor * inside - inside**2 / (2 * gamma)

    gradient = 2 * x.astype("float64").T @ (x @ w - y) / len(x)
    slope = np.sign(w) * np.maximum(factor - np.abs(w) / gamma, 0)
    np.testing.assert_allclose(gradient[w != 0], -slope[w != 0], atol=1e-3 * factor)
    best = squared_error(w, x, y) + penalty(w).sum()
    for index in range(10):
        for value in np.linspace(-1, 1, 401):
            other = w.copy()
            other[index] = value
            assert squared_error(other, x, y) + penalty(other).sum() >= best * (1 - 1e-6)


def warm_up(rate):
    return optimizers.schedules.CosineDecay(0.0, 2000, warmup_target=rate, warmup_steps=100)


@pytest.mark.parametrize("schedule", [decaying, warm_up])
@pytest.mark.parametrize("make", [
    lambda rate: optimizers.SGD(rate, momentum=0.9),
    lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True),
    lambda rate: optimizers.Adam(rate),
    lambda rate: optimizers.RMSprop(rate, momentum=0.9),
], ids=["momentum", "Nesterov", "Adam", "RMSprop, momentum"])  # fmt: skip
def test_scheduled_learning_rates_reach_the_optimum(make, schedule):
    """In Keras, the velocity contains the rate: a step of `lr / (1 - momentum)` is too large."""
    x, y = diabetes()
    factor = 0.2
    w = trained(x, y, L1(factor), lambda: make(schedule(0.01)), steps=2000)
    reference = lasso(x, y, factor)
    assert_same_optimum(w, reference, lambda w: squared_error(w, x, y) + factor * np.abs(w).sum())


@pytest.mark.skipif(not hasattr(optimizers, "Muon"), reason="needs a newer Keras")
def test_muon_comes_close_to_the_optimum_and_warns():
    """Muon orthogonalizes gradients: the zeros are exact, the optimum is approximate."""
    x, y = diabetes()
    y = np.concatenate([y, x[:, 2:3] - y, 0.5 * y + x[:, 8:9]], axis=1)
    factor = 0.07
    with pytest.warns(UserWarning, match="Muon orthogonalizes the gradients"):
        w = trained(x, y, L1(factor), lambda: muon(decaying(0.02)), steps=4000)
    reference = lasso(x, y, factor)

    def objective(w):
        return squared_error(w, x, y) + factor * np.abs(w).sum()

    assert np.sum((w == 0) != (reference == 0)) <= 2
    assert objective(w) <= objective(reference) * 1.005


@pytest.mark.parametrize(
    ("name", "instead"), [("Ftrl", "l1_regularization_strength"), ("ScheduleFreeAdamW", "AdamW")]
)
def test_an_unsupported_optimizer_is_rejected_by_name(name, instead):
    if not hasattr(optimizers, name):
        pytest.skip("needs a newer Keras")
    x, y = diabetes()
    model = linear(10, "l1")
    model.compile(getattr(keras.optimizers, name)(0.01), "mse")
    with pytest.raises(ValueError, match=rf"optimizer {name}.*{instead}.*Expected one of.*Adam"):
        train(model, x, y, steps=1)
    assert not any("kerasreg" in key for key in vars(model.optimizer))


def test_every_optimizer_of_keras_is_supported_or_rejected():
    wrappers = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    known = set(supported()) | {"Ftrl", "ScheduleFreeAdamW"}
    assert {name for name in dir(optimizers) if name[0].isupper()} - wrappers <= known
    tested = {name.split(",")[0] for name in OPTIMIZERS} | {"Muon"}
    assert {name for name in supported() if hasattr(optimizers, name)} <= tested


def test_a_registered_step_size_reaches_the_optimum():
    class Sluggish(keras.optimizers.Optimizer):
        """Gradient descent with a fifth of the rate."""

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, 0.2 * learning_rate * gradient)

    x, y = diabetes()
    with pytest.raises(ValueError, match=r"Sluggish.*register_step_size"):
        trained(x, y, L1(0.2), lambda: Sluggish(0.2), steps=1)
    kerasreg.register_step_size(Sluggish)(lambda optimizer, index, rate: 0.2 * rate)
    w = trained(x, y, L1(0.2), lambda: Sluggish(0.2), steps=2000)
    reference = lasso(x, y, 0.2)
    assert_same_optimum(w, reference, lambda w: squared_error(w, x, y) + 0.2 * np.abs(w).sum())


@pytest.mark.parametrize("what", [None, "Adam", keras.optimizers.Adam(), keras.layers.Dense])
def test_register_step_size_accepts_optimizer_classes_only(what):
    with pytest.raises(ValueError, match=r"expects a subclass of `keras\.optimizers.Optimizer`"):
        kerasreg.register_step_size(what)


def test_a_subclass_that_overrides_update_step_is_rejected():
    class MyAdam(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, gradient)

    x, y = diabetes()
    model = linear(10, "l1")
    model.compile(MyAdam(), "mse")
    with pytest.raises(ValueError, match="MyAdam"):
        train(model, x, y, steps=1)


def test_centered_rmsprop_with_momentum_is_rejected():
    model = linear(10, "l1")
    model.compile(keras.optimizers.RMSprop(momentum=0.9, centered=True), "mse")
    with pytest.raises(ValueError, match="centered"):
        train(model, *diabetes(), steps=1)


def test_a_subclass_without_changes_has_the_step_size_of_its_parent():
    class MyAdam(keras.optimizers.Adam):
        pass

    model = linear(10, L1(10.0))
    model.compile(MyAdam(0.1), "mse")
    with pytest.warns(UserWarning, match="every weight is zero"):
        train(model, *diabetes(), steps=50)
    assert kerasreg.statistics(model).total.zeros == 10
