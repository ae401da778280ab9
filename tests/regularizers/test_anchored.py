"""L1SP, L2SP, WeightedL1 and NonNegativeL1: arrays, values, saving, training."""

import json

import architectures
import keras
import needs
import numpy as np
import pytest
from keras import layers, ops
from problems import diabetes, kernel, lasso, linear, solution, train
from sklearn.linear_model import Ridge
from tensors import DTYPES, array, compiled, tensor

import kerasreg
from kerasreg.regularizers import L1, L1SP, L2, L2SP, WeightedL1
from kerasreg.regularizers.weighted import TINY

ANCHORED = [L2SP(0.25), L1SP(0.25), WeightedL1(0.25)]
every_one = pytest.mark.parametrize("penalty", ANCHORED, ids=repr)


def constant(penalty):
    """Returns the array argument of a penalty."""
    return penalty._arguments()[penalty._argument]


def bind(penalty, array):
    return type(penalty)(0.25, **{penalty._argument: array})


def weights_of(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# Without an array


@every_one
def test_a_missing_array_raises_an_error_that_names_attach(penalty):
    message = (
        rf"`{type(penalty).__name__}` has no `(reference|pilot)` for .*\(4, 3\).*"
        r"`kerasreg.attach\(model, rules\)`.*Received: (reference|pilot)=None"
    )
    weights = tensor(weights_of((4, 3)))
    with pytest.raises(ValueError, match=message):
        penalty(weights)
    with pytest.raises(ValueError, match=message):
        penalty.prox(weights, 0.1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=penalty)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    for callbacks in ([kerasreg.callbacks.ProximalGradient()], []):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0, callbacks=callbacks)


@every_one
@pytest.mark.parametrize("shape", [(3,), (3, 4), (4, 3, 1), (1, 3), ()])
def test_an_array_of_another_shape_raises(penalty, shape):
    bound = bind(penalty, np.ones(shape))
    message = (
        r"`(reference|pilot)` must have the shape of .*\(4, 3\). Received: (reference|pilot) of"
    )
    with pytest.raises(ValueError, match=message):
        bound(tensor(weights_of((4, 3))))
    with pytest.raises(ValueError, match=message):
        bound.prox(tensor(weights_of((4, 3))), 0.1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="hidden")])
    with pytest.raises(ValueError, match=message.replace("of .*", "of .*hidden/kernel, ")):
        kerasreg.attach(model, {"kernel": bound})


# From the variable


@every_one
def test_attach_takes_the_current_weights_of_each_variable(penalty):
    model = architectures.custom()
    before = {variable.path: ops.convert_to_numpy(variable) for variable in model.weights}
    attached = kerasreg.attach(model, {"mixing|kernel": penalty})
    assert len(attached) >= 2
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)
    for path, own in attached.items():
        np.testing.assert_array_equal(constant(own), before[path])
    assert penalty._array is None
    # A given array is kept.
    (path, *_) = attached
    rules = {f"^{path}$": bind(penalty, np.ones(before[path].shape))}
    own = kerasreg.attach(model, rules)[path]
    np.testing.assert_array_equal(own._array, 1.0)


def test_attach_rejects_non_finite_weights():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.layers[0].kernel.assign([[np.nan], [1.0]])
    with pytest.raises(ValueError, match=r"`reference` must be finite"):
        kerasreg.attach(model, {"kernel": L2SP()})
    assert model.losses == []


# Values


@pytest.mark.parametrize("step", [0.0, 0.5, 1e8, np.inf, "per weight"])
@pytest.mark.parametrize(
    ("one", "same"),
    [
        (L2SP(0.3, np.zeros((4, 6))), L2(0.3)),
        (L1SP(0.3, np.zeros((4, 6))), L1(0.3)),
        (WeightedL1(0.3, np.ones((4, 6))), L1(0.3)),
        (WeightedL1(0.3, pilot=np.full((4, 6), -0.25)), L1(1.2)),
        (WeightedL1(0.3, pilot=np.full((4, 6), 0.25), gamma=0.5), L1(0.6)),
    ],
    ids=repr,
)
def test_special_cases_equal_simpler_penalties(one, same, step):
    rng = np.random.default_rng(0)
    weights = tensor(rng.normal(size=(4, 6)))
    step = tensor(rng.uniform(0, 5, (4, 6)) if step == "per weight" else step)
    np.testing.assert_allclose(array(one(weights)), array(same(weights)), rtol=1e-6)
    x, expected = array(one.prox(weights, step)), array(same.prox(weights, step))
    np.testing.assert_allclose(x, expected, rtol=1e-6)
    np.testing.assert_array_equal(x == 0, expected == 0)


def test_weights_with_factor_zero_are_not_changed():
    factors = np.array([0.0, 1.0, 0.0, 2.0])
    weights = tensor([1.0, -1.0, 1e20, 0.5])
    for step in (0.1, 1e8, tensor(np.inf), tensor([np.inf, np.inf, np.inf, 0.0])):
        x = array(WeightedL1(1.0, factors).prox(weights, step))
        np.testing.assert_array_equal(x[[0, 2]], array(weights)[[0, 2]])
        assert np.isfinite(x).all()


def test_zeros_of_the_pilot_stay_zero():
    penalty = WeightedL1(0.1, pilot=[0.0, -2.0, TINY / 10], gamma=2.0)
    np.testing.assert_allclose(penalty._array, [TINY**-2, 0.25, TINY**-2])
    x = array(penalty.prox(tensor([5.0, 5.0, -5.0]), 1e-4))
    np.testing.assert_array_equal(x == 0, [True, False, True])
    assert np.isfinite(array(penalty(tensor([5.0, 5.0, -5.0]))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [1.0, 1e3, 1e8, np.inf])
def test_unchanged_weights_are_bitwise_equal_to_the_reference(dtype, step):
    reference = tensor(weights_of((50,)), dtype)
    weights = reference + tensor(0.01 * weights_of((50,), 1), dtype)
    x = L1SP(0.1, reference).prox(weights, tensor(step))
    np.testing.assert_array_equal(array(x), array(reference))
    if np.isinf(step):
        x = L2SP(0.1, reference).prox(weights, tensor(step))
        np.testing.assert_array_equal(array(x), array(reference))


@needs.COMPILATION
@every_one
def test_a_large_array_is_one_constant(penalty):
    bound = bind(penalty, weights_of((400, 500)))
    prox, traces = compiled(bound.prox)
    for seed in range(3):
        weights = tensor(weights_of((400, 500), seed))
        np.testing.assert_allclose(
            array(prox(weights, tensor(0.1 * seed))),
            array(bound.prox(weights, 0.1 * seed)),
            atol=1e-6,
        )
    assert len(traces) == 1


# Arguments


def test_weights_and_pilot_together_raise():
    with pytest.raises(ValueError, match=r"Pass `weights` or `pilot`, not both. Received: both"):
        WeightedL1(0.1, weights=np.ones(3), pilot=np.ones(3))


def test_negative_weights_raise():
    with pytest.raises(ValueError, match=r"`weights` must not be negative. Received.*-1e-30"):
        WeightedL1(0.1, weights=np.array([1.0, -1e-30]))


def test_an_overflowing_gamma_raises():
    np.testing.assert_allclose(WeightedL1(0.1, pilot=[0.0], gamma=4.0)._array, [1e32])
    with pytest.raises(ValueError, match=r"`gamma` is too large.*Received: gamma=5.0"):
        WeightedL1(0.1, pilot=[0.0], gamma=5.0)


def test_repr_is_readable():
    text = "<float32 array of shape (3, 2)>"
    ones = np.ones((3, 2), "float32")
    assert repr(L2SP(0.5, ones)) == f"L2SP(l2=0.5, reference={text})"
    assert repr(L1SP()) == "L1SP(l1=0.01, reference=None)"
    assert (
        repr(WeightedL1(1, pilot=ones))
        == f"WeightedL1(l1=1.0, weights=None, pilot={text}, gamma=1.0)"
    )


# Saving


def exotic(shape):
    """Returns float32 numbers that a decimal representation would not keep exactly."""
    values = weights_of(shape) / 3
    values.flat[0], values.flat[1] = 1e-42, np.nextafter(np.float32(1), np.float32(2))
    return values


@every_one
def test_layer_arguments_survive_saving(penalty, tmp_path):
    bound = bind(penalty, exotic((4, 3)))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=bound)])
    json.loads(model.to_json())
    model.save(tmp_path / "model.keras")
    same = keras.models.load_model(tmp_path / "model.keras")
    for copy in (same, keras.models.clone_model(model)):
        found = copy.layers[0].kernel.regularizer
        assert found.get_config() == bound.get_config()
        assert constant(found).tobytes() == constant(bound).tobytes() == exotic((4, 3)).tobytes()
    np.testing.assert_array_equal(array(same.losses[0]), array(model.losses[0]))


@every_one
@pytest.mark.parametrize("name", ["custom", "functional", "attention"])
def test_attached_penalties_survive_saving(penalty, name, tmp_path):
    model = getattr(architectures, name)()
    for variable in model.trainable_variables:
        if np.prod(variable.shape) > 1:
            variable.assign(exotic(tuple(variable.shape)))
    attached = kerasreg.attach(model, {"kernel|mixing": penalty})
    for variable in model.trainable_variables:
        variable.assign(variable * 1.5)
    model.save(tmp_path / "model.keras")
    same = keras.models.load_model(tmp_path / "model.keras")
    found = [v.regularizer for v in same.weights if v.regularizer is not None]
    expected = [v.regularizer for v in model.weights if v.regularizer is not None]
    assert len(found) == len(attached) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.get_config() == other.get_config()
        assert constant(one).tobytes() == constant(other).tobytes()
    # The config of a penalty without an array has no array.
    assert type(penalty).from_config(penalty.get_config())._array is None


# Training


def minimiser(penalty, x, y, w0):
    """The minimiser of `mean((x w - y)^2) + penalty(w)`: by `w - w0`, or by the scale of w."""
    if isinstance(penalty, WeightedL1):
        scale = abs(w0) / penalty.l1
        return lasso(x * scale.T, y, 1.0) * scale
    if isinstance(penalty, L2SP):
        ridge = Ridge(len(x) * penalty.l2, fit_intercept=False)
        return w0 + solution(ridge, x, y - x @ w0)
    return w0 + lasso(x, y - x @ w0, penalty.l1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("penalty", [L2SP(0.1), L1SP(0.1), WeightedL1(0.02)], ids=repr)
def test_training_reaches_the_known_optimum(penalty, optimizer):
    x, y = diabetes()
    start = np.float32(0.3) * weights_of((10, 1), 3)
    model = linear(10, None)
    model.set_weights([start])
    kerasreg.attach(model, {"kernel": penalty})
    steps = {"sgd": keras.optimizers.SGD(0.1, momentum=0.9), "adam": keras.optimizers.Adam(0.02)}
    model.compile(steps[optimizer], "mse")
    train(model, x, y, 1500)
    w = kernel(model)
    expected = minimiser(penalty, x.astype("float64"), y.astype("float64"), start.astype("float64"))
    np.testing.assert_allclose(w, expected, atol=2e-4)
    if isinstance(penalty, L1SP):
        same = w == start
        assert 0 < same.sum() < 10
        np.testing.assert_array_equal(same, abs(expected - start) < 1e-9)
    if isinstance(penalty, WeightedL1):
        assert 0 < (w == 0).sum() < 10
        np.testing.assert_array_equal(w == 0, expected == 0)


def test_nonnegative_training_reaches_the_known_optimum():
    x, y = diabetes()
    model = linear(10, kerasreg.regularizers.NonNegativeL1(0.02))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    train(model, x, y, 1500)
    w = kernel(model)
    expected = lasso(x, y, 0.02, positive=True)
    np.testing.assert_allclose(w, expected, atol=1e-5)
    np.testing.assert_array_equal(w == 0, expected == 0)
    assert (w >= 0).all()


def test_nonnegative_l1_with_factor_zero_is_the_projection():
    penalty = kerasreg.regularizers.NonNegativeL1(0.0)
    for step in (0.0, 1.0, 1e8, tensor(np.inf)):
        x = array(penalty.prox(tensor([-2.0, -0.0, 0.0, 1.0, 1e20]), step))
        np.testing.assert_array_equal(x, array(tensor([0.0, 0.0, 0.0, 1.0, 1e20])))
        assert not np.signbit(x).any()
