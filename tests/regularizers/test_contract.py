"""The contract of every penalty: values, gradients, configs. For the prox, see `test_prox.py`."""

import json

import keras
import needs
import numpy as np
import pytest
from cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from loops import by_class, loop
from tensors import DTYPES, array, compiled, gradient, tensor

import kerasreg
from kerasreg import regularizers

every_case = by_class(CASES)
PROXIMAL = [case for case in CASES if case.prox is not None]
with_prox = by_class(PROXIMAL)
LOOPS = ["FusedLasso", "SLOPE", "TotalVariation"]
KERAS_OWN = ["L1", "L2", "L1L2"]
#: An infinite weight has a finite penalty.
BOUNDED = ["CappedL1", "MCP", "SCAD"]


def build(case):
    return getattr(regularizers, case.name)(**case.arguments)


def random(case, seed=0):
    return np.random.default_rng(seed).normal(size=case.shape)


def test_every_public_penalty_has_a_case():
    public = set(regularizers.__all__) - {"Regularizer"}
    assert public == {case.name for case in CASES}


def test_every_public_penalty_is_registered_under_its_own_name():
    for name in set(regularizers.__all__) - {"Regularizer"}:
        cls = getattr(regularizers, name)
        assert keras.saving.get_registered_name(cls) == f"kerasreg>{name}"


@every_case
@loop(dtype=DTYPES)
def test_the_value_equals_the_reference(case, dtype):
    weights = tensor(random(case), dtype)
    value = build(case)(weights)
    expected_dtype = dtype if dtype == "float64" else "float32"
    assert keras.backend.standardize_dtype(value.dtype) == expected_dtype
    assert tuple(value.shape) == ()
    tolerance = 1e-13 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(array(value), case.value(array(weights)), rtol=tolerance)


@every_case
def test_numpy_arrays_and_variables_have_the_same_value(case):
    weights = random(case).astype("float32")
    expected = case.value(weights.astype("float64"))
    variable = keras.Variable(weights)
    np.testing.assert_allclose(array(build(case)(weights)), expected, rtol=1e-6)
    np.testing.assert_allclose(array(build(case)(variable)), expected, rtol=1e-6)
    if case.prox is not None:
        np.testing.assert_array_equal(
            array(build(case).prox(variable, 0.1)), array(build(case).prox(weights, 0.1))
        )


@every_case
def test_the_value_at_zero_equals_the_reference(case):
    zeros = np.zeros(case.shape)
    np.testing.assert_allclose(array(build(case)(tensor(zeros))), case.value(zeros), rtol=1e-6)


@every_case
@loop(dtype=DTYPES, where=["everywhere", "in one group"])
def test_gradient_at_zero_is_a_subgradient(case, dtype, where):
    dead = case.groups >= 0 if where == "everywhere" else case.groups == 0
    weights = np.where(dead, 0.0, 1.0 + abs(random(case)))
    slope = gradient(build(case), tensor(weights, dtype))
    weights = array(tensor(weights, dtype))
    assert np.isfinite(slope).all()
    for seed in range(20 if case.convex else 0):
        other = weights + random(case, seed)
        least = case.value(weights) + np.sum(slope * (other - weights))
        assert case.value(other) >= least - 0.02 * (dtype in ("float16", "bfloat16")) - 1e-5
    if case.shrinks:
        assert (slope[dead] == 0).all()


@every_case
def test_the_gradient_equals_finite_differences(case):
    weights = np.sign(random(case)) * (0.1 + abs(random(case)))
    expected = np.zeros(case.shape)
    for index in np.ndindex(case.shape):
        step = np.zeros(case.shape)
        step[index] = 1e-5
        expected[index] = (case.value(weights + step) - case.value(weights - step)) / 2e-5
    got = gradient(build(case), tensor(weights))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@every_case
def test_nan_and_infinity_give_a_non_finite_value(case):
    for bad in (np.nan,) if case.name in BOUNDED else (np.nan, np.inf, -np.inf):
        weights = random(case)
        weights[(0,) * weights.ndim] = bad
        if case.value(np.ones(case.shape)) > 0:
            assert not np.isfinite(array(build(case)(tensor(weights))))


@every_case
def test_the_config_builds_an_equal_penalty(case):
    regularizer = build(case)
    config = regularizer.get_config()
    assert type(regularizer).from_config(config).get_config() == config
    for name, value in case.arguments.items():
        assert config[name] == value
        assert type(config[name]) is type(value)


@every_case
@loop(through=["serialize", "regularizers.get", "json"])
def test_serialization_keeps_the_penalty(case, through):
    regularizer = build(case)
    config = keras.saving.serialize_keras_object(regularizer)
    if through == "regularizers.get":
        assert keras.regularizers.get(regularizer) is regularizer
        same = keras.regularizers.get(config)
    elif through == "json":
        same = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    else:
        same = keras.saving.deserialize_keras_object(config)
    assert type(same) is type(regularizer)
    assert same.get_config() == regularizer.get_config()
    weights = tensor(random(case))
    np.testing.assert_array_equal(array(same(weights)), array(regularizer(weights)))


@every_case
def test_repr_builds_an_equal_penalty(case):
    regularizer = build(case)
    if "<" in repr(regularizer):
        return  # The numbers of an array are too many to read.
    same = eval(repr(regularizer), vars(regularizers))
    assert same.get_config() == regularizer.get_config()


def test_repr_is_readable():
    assert repr(regularizers.L1(0.01)) == "L1(l1=0.01)"
    assert repr(regularizers.GroupLasso(1)) == "GroupLasso(factor=1.0, axis=-1, gates=1)"


@by_class([c for c in CASES if c.name in KERAS_OWN])
def test_values_and_configs_equal_those_of_keras(case):
    ours, theirs = build(case), getattr(keras.regularizers, case.name)(**case.arguments)
    weights = tensor(random(case))
    np.testing.assert_allclose(array(ours(weights)), array(theirs(weights)), rtol=1e-6)
    assert ours.get_config() == pytest.approx(theirs.get_config())
    assert list(ours.get_config()) == list(theirs.get_config())
    np.testing.assert_allclose(gradient(ours, weights), gradient(theirs, weights), rtol=1e-6)
    defaults = type(ours)().get_config()
    assert defaults == pytest.approx(type(theirs)().get_config())


@pytest.mark.parametrize("arguments", [{"l1": None, "l2": 0.5}, {"l1": 0.5, "l2": None}])
def test_l1l2_accepts_none_like_keras(arguments):
    ours = regularizers.L1L2(**arguments)
    assert ours.get_config() == keras.regularizers.L1L2(**arguments).get_config()


@given(st.floats(0, 1e30))
def test_factors_are_stored_exactly(factor):
    assert regularizers.L1(factor).get_config() == {"l1": factor}
    assert regularizers.GroupLasso(np.float64(factor)).factor == factor
    assert type(regularizers.L2(np.float32(0.5)).l2) is float


@by_class([c for c in CASES if len(c.shape) == 2])
def test_penalties_work_as_layer_arguments(case):
    layer = keras.layers.Dense(case.shape[1], kernel_regularizer=build(case))
    model = keras.Sequential([keras.Input(case.shape[:1]), layer])
    (loss,) = model.losses
    np.testing.assert_allclose(array(loss), case.value(array(layer.kernel)), rtol=1e-6)
    copy = keras.models.clone_model(model)
    assert copy.layers[0].kernel_regularizer.get_config() == build(case).get_config()


@by_class({c.name: c for c in CASES}.values())
@needs.COMPILATION
def test_value_compiles_once(case):
    value, traces = compiled(build(case))
    for seed in range(3):
        weights = tensor(random(case, seed))
        np.testing.assert_allclose(array(value(weights)), array(build(case)(weights)), rtol=1e-5)
    assert len(traces) == 1


@by_class({c.name: c for c in PROXIMAL}.values())
@needs.COMPILATION
@loop(fine=[False, True])
def test_prox_compiles_once(case, fine):
    regularizer = build(case)
    shape = regularizer.step_shape(case.shape) if fine else ()
    prox, traces = compiled(regularizer.prox)
    for seed in range(3):
        weights = tensor(random(case, seed))
        steps = tensor(10.0 ** np.random.default_rng(seed).uniform(-3, 1, shape))
        eager = array(regularizer.prox(weights, steps))
        under_xla = array(prox(weights, steps))
        np.testing.assert_allclose(under_xla, eager, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(under_xla == 0, eager == 0)
    assert len(traces) == 1


@loop(step=[0.5, "per weight"])
@pytest.mark.parametrize(
    ("one", "same"),
    [
        (regularizers.SparseGroupLasso(0.3, l1_ratio=1), regularizers.L1(0.3)),
        (regularizers.SparseGroupLasso(0.3, l1_ratio=0, axis=0), regularizers.GroupLasso(0.3, 0)),
        (regularizers.GroupLasso(0.3, axis=(0, 1)), regularizers.L1(0.3)),
        (regularizers.SparseGroupLasso(0.3, axis=(1, 0)), regularizers.L1(0.3)),
        (regularizers.L1L2(0.3, 0.0), regularizers.L1(0.3)),
        (regularizers.L1L2(0.0, 0.3), regularizers.L2(0.3)),
        (regularizers.GroupLasso(0.3, axis=1), regularizers.GroupLasso(0.3, axis=(-1,))),
    ],
    ids=repr,
)
def test_special_cases_equal_simpler_penalties(one, same, step):
    rng = np.random.default_rng(0)
    weights = tensor(rng.normal(size=(4, 6)))
    step = tensor(rng.uniform(0, 5, (4, 6))) if step == "per weight" else step
    np.testing.assert_allclose(array(one(weights)), array(same(weights)), rtol=1e-6)
    np.testing.assert_allclose(
        array(one.prox(weights, step)), array(same.prox(weights, step)), rtol=1e-6, atol=1e-7
    )


@with_prox
@loop(dtype=DTYPES)
def test_factor_or_step_zero_is_the_identity(case, dtype):
    if case.name in LOOPS and dtype != "float32":
        return  # Slow without compilation; `test_prox.py` has the dtypes.
    weights = tensor(case.allowed(random(case)), dtype)
    factor = next(iter(case.arguments))
    off = {**case.arguments, **{name: 0.0 for name in (factor, "l2") if name in case.arguments}}
    for regularizer, step in (
        (getattr(regularizers, case.name)(**off), tensor(1e8)),
        (build(case), 0.0),
        (build(case), tensor(np.zeros(build(case).step_shape(case.shape)))),
    ):
        np.testing.assert_array_equal(array(regularizer.prox(weights, step)), array(weights))


def test_a_custom_penalty_needs_three_methods():
    class Cubic(kerasreg.regularizers.Regularizer):
        def _value(self, weights):
            return ops.sum(ops.abs(weights) ** 3)

        def _prox(self, weights, step):
            return weights / (1 + 0 * step)

        def get_config(self):
            return {}

    assert float(Cubic()(np.array([2.0, -1.0], "float32"))) == 9.0
    assert array(Cubic().prox(np.array([2.0], "float32"), 0.1)).tolist() == [2.0]
    assert repr(Cubic()) == "Cubic()"
