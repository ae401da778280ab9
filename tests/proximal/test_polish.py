"""`polish` removes the small non-zero weights that mini-batch noise leaves."""

import functools
import itertools

import keras
import numpy as np
import pytest
from problems import diabetes, kernel, lasso, linear

import kerasreg
from kerasreg.callbacks import ProximalGradient, SparsityLogger
from kerasreg.regularizers import L1, MCP, GroupLasso

BACKEND = keras.backend.backend()
#: The number of true features among 200; they come first.
TRUE = 10


@functools.cache
def stochastic_lasso():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 200)).astype("float32")
    w = np.zeros((200, 1))
    w[:TRUE] = rng.choice([-1, 1], (TRUE, 1)) * rng.uniform(0.5, 2, (TRUE, 1))
    y = (x @ w + 0.5 * rng.normal(size=(1000, 1))).astype("float32")
    return x, y


def noisy(optimizer, factor=0.2, **kwargs):
    """Returns a lasso model trained in batches of 32."""
    x, y = stochastic_lasso()
    model = linear(200, L1(factor))
    model.compile(optimizer, "mse", **kwargs)
    model.fit(
        x, y, batch_size=32, epochs=15, shuffle=False, verbose=0, callbacks=[ProximalGradient()]
    )
    return model


OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.002, momentum=0.9),
    "Adam": lambda: keras.optimizers.Adam(0.1),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.005),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.05),
    "Lion": lambda: keras.optimizers.Lion(0.002),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 300])
def test_the_stochastic_lasso_has_exactly_the_true_support(make, batch_size):
    x, y = stochastic_lasso()
    model = noisy(make())
    assert np.sum(kernel(model) != 0) > TRUE
    state = [np.asarray(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables]
    report = kerasreg.polish(model, x, y, batch_size=batch_size)
    assert np.flatnonzero(kernel(model)).tolist() == list(range(TRUE))
    assert report.zeros_after == 200 - TRUE > report.zeros_before
    assert report.objective_after < report.objective_before
    # The state of the optimizer is unchanged, and training can continue.
    for variable, before in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), before)
    model.fit(x, y, verbose=0)


def test_more_epochs_reach_the_optimum():
    x, y = stochastic_lasso()
    model = noisy(keras.optimizers.Adam(0.02))
    report = kerasreg.polish(model, x, y, epochs=100)
    reference = lasso(x, y, 0.2)
    # Steps that do not lower the objective are undone. float32 resolves the objective to 1e-7, and
    # the weights to the square root of that.
    np.testing.assert_allclose(kernel(model), reference, atol=6e-4)
    expected = np.mean((y - x @ reference) ** 2) + 0.2 * np.abs(reference).sum()
    assert report.objective_after == pytest.approx(expected, rel=1e-5)


def test_debiasing_is_least_squares_on_the_support():
    x, y = stochastic_lasso()
    model = noisy(keras.optimizers.SGD(0.01))
    kerasreg.polish(model, x, y, debias_epochs=100)
    expected = np.linalg.lstsq(x[:, :TRUE], y, rcond=None)[0]
    np.testing.assert_allclose(kernel(model)[:TRUE], expected, atol=1e-3)
    assert np.all(kernel(model)[TRUE:] == 0)
    # The penalty is active again.
    penalty = 0.2 * np.abs(kernel(model)).sum()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(
        np.mean((y - x @ kernel(model)) ** 2) + penalty, rel=1e-4
    )


@pytest.mark.parametrize(
    "penalty",
    [MCP(0.2), GroupLasso(0.2, axis=0), keras.regularizers.L1(0.2)],
    ids=["MCP", "GroupLasso", "Keras' L1"],
)
def test_a_step_never_raises_the_objective(penalty):
    """Even with a learning rate for which gradient descent diverges."""
    x, y = diabetes()
    model = linear(10, penalty)
    model.compile(keras.optimizers.SGD(10.0, momentum=0.9), "mse")
    penalty = keras.ops.convert_to_numpy(model.losses[0])
    start = np.mean((y - x @ kernel(model)) ** 2) + float(penalty)
    report = kerasreg.polish(model, x, y, epochs=30)
    assert report.objective_before == pytest.approx(start, rel=1e-5)
    assert report.objective_after < start
    assert report.objective_after == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_proximal_gradient_can_polish_at_the_end_of_a_fit(tmp_path):
    x, y = stochastic_lasso()
    model = linear(200, L1(0.2))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    callbacks = [
        SparsityLogger(tmp_path),
        ProximalGradient(polish={"x": x, "y": y}),
        keras.callbacks.EarlyStopping("loss", restore_best_weights=True, patience=99),
    ]
    history = model.fit(x, y, batch_size=32, epochs=15, verbose=0, callbacks=callbacks)
    assert np.flatnonzero(kernel(model)).tolist() == list(range(TRUE))
    assert len(history.history["loss"]) == 15
    assert callbacks[1].polished.zeros_after == 200 - TRUE


def test_the_data_can_be_a_py_dataset():
    x, y = stochastic_lasso()
    model = noisy(keras.optimizers.Adam(0.02))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            part = slice(250 * index, 250 * (index + 1))
            return x[part], y[part]

    kerasreg.polish(model, Batches())
    assert np.flatnonzero(kernel(model)).tolist() == list(range(TRUE))


def test_a_model_in_mixed_float16_has_the_true_support():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = noisy(keras.optimizers.Adam(0.02))
        x, y = stochastic_lasso()
        kerasreg.polish(model, x, y)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert np.flatnonzero(kernel(model)).tolist() == list(range(TRUE))


def test_invalid_arguments_are_rejected_and_change_nothing():
    x, y = diabetes()
    model = linear(10, "l1")
    with pytest.raises(ValueError, match=r"needs a compiled model"):
        kerasreg.polish(model, x, y)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.raises(ValueError, match=r"learning rate.*is 0.*Pass `learning_rate`"):
        kerasreg.polish(model, x, y)
    with pytest.raises(ValueError, match=r"a finite number of batches"):
        kerasreg.polish(model, itertools.repeat((x, y)))
    before = kernel(model)
    with pytest.raises(ValueError, match=r"objective.*is nan"):
        kerasreg.polish(model, np.full_like(x, np.nan), y, learning_rate=0.1)
    np.testing.assert_array_equal(kernel(model), before)
    for arguments, message in (
        ({"epochs": -1}, r"`epochs` must be"),
        ({"debias_epochs": 2.5}, r"`debias_epochs` must be"),
        ({"batch_size": 0}, r"`batch_size` must be"),
        ({"learning_rate": -1.0}, r"`learning_rate` must be a finite number above 0"),
        ({"sample_weight": y[:3]}, r"the same number of samples.*Received: \[3, 442\]"),
    ):
        with pytest.raises(ValueError, match=message):
            kerasreg.polish(model, x, y, **{"learning_rate": 0.1, **arguments})
    plain = linear(10, None)
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"found no trainable variable in"):
        kerasreg.polish(plain, x, y)
    for value in ({"epochs": 3}, "yes", {"x": x, "steps": 3}):
        with pytest.raises(ValueError, match=r"`polish` must be a dict.*Received"):
            ProximalGradient(polish=value)
