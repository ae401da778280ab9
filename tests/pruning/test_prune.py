"""Prune in one shot: every kind of model, exact counts, and what is left alone."""

import math

import keras
import numpy as np
import pytest
from architectures import MODELS
from keras import layers

import kerasreg


def array(variable):
    return keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))


def zeros(variable):
    return int(np.sum(array(variable) == 0))


def nonzero(model):
    """No weight is zero by accident, also in biases."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if keras.backend.is_float_dtype(variable.dtype):
            variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    return model


def dense(*units, inputs=8, **kwargs):
    stack = [layers.Dense(n, name="abc"[i], **kwargs) for i, n in enumerate(units)]
    return nonzero(keras.Sequential([keras.Input((inputs,)), *stack], name="net"))


def twice():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="dense")], name="inner")
    middle = keras.Sequential([keras.Input((4,)), inner, layers.Dense(4)], name="middle")
    return keras.Sequential([keras.Input((4,)), middle, layers.Dense(3)], name="outer")


def embedded():
    inputs = keras.Input((6,))
    x = layers.Embedding(10, 4, name="embedding")(inputs)
    x = layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", name="einsum")(x)
    return keras.Model(inputs, x, name="net")


BUILDS = {
    **{name: build for name, (build, _) in MODELS.items() if name != "pretrained"},
    "nested twice": twice,
    "embedded": embedded,
}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("sparsity", [0.5, 0.87])
def test_every_variable_meets_the_sparsity_to_the_nearest_weight(name, sparsity):
    model = nonzero(BUILDS[name]())
    before = [array(variable).copy() for variable in model.weights]
    plan = kerasreg.prune(model, sparsity, min_units=0)
    assert len(plan.variables) + len(plan.skipped) == len(model.weights)
    assert {*plan.variables, *plan.skipped} == {v.path for v in model.weights}
    for variable, old in zip(model.weights, before, strict=True):
        weights = array(variable)
        if variable.path in plan.skipped:
            np.testing.assert_array_equal(weights, old)
            continue
        row, wanted = plan[variable.path], math.floor(sparsity * weights.size + 0.5)
        assert (row.zeros, row.pruned, zeros(variable)) == (wanted,) * 3
        # The smallest went, all others are as they were.
        np.testing.assert_array_equal(weights[weights != 0], old[weights != 0])
        assert old[weights == 0].max() <= weights[weights != 0].min(initial=np.inf)


def test_skipped_variables_have_a_reason():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(3, 2, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.PReLU(name="slopes"),
            layers.Conv2D(3, 1, name="frozen", trainable=False, use_bias=False),
        ],
        name="net",
    )
    plan = kerasreg.prune(model, 0.5)
    assert list(plan.variables) == ["net/conv/kernel"]
    norm = "a weight of a normalization: name it in `include` to prune it"
    assert plan.skipped == {
        "net/conv/bias": "a bias or other 1-D variable: name it in `include` to prune it",
        "net/norm/gamma": norm,
        "net/norm/beta": norm,
        "net/norm/moving_mean": "it is not trainable",
        "net/norm/moving_variance": "it is not trainable",
        "net/slopes/alpha": "slopes of an activation: name them in `include` to prune them",
        "net/frozen/kernel": "it is not trainable",
    }


def test_include_and_exclude_select_variables():
    model = dense(6, 4, 2)
    plan = kerasreg.prune(model, 0.5, include="a/|b/bias", exclude="a/kernel")
    assert list(plan.variables) == ["net/a/bias", "net/b/bias"]
    assert plan.skipped["net/a/kernel"] == "`exclude` matches it"
    assert plan.skipped["net/c/kernel"] == "`include` does not match it"
    assert [zeros(v) for v in model.weights] == [0, 3, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"include": "conv"}, "`include` must be found in the path of a variable"),
        ({"exclude": "conv"}, "`exclude` must be found in the path of a variable"),
        ({"include": "("}, "`include` must be a regular expression"),
        ({"include": ["kernel"]}, "`include` must be a regular expression"),
        ({"exclude": "kernel"}, "finds nothing to prune in 'net'"),
        ({"sparsity": 1.5}, "`sparsity` must be a finite number of at least 0 and at most 1"),
        ({"sparsity": None}, "`sparsity` must be a finite number of at least 0 and at most 1"),
        ({"sparsity": math.nan}, "`sparsity` must be a finite number of at least 0 and at most 1"),
        ({"pattern": "4:8"}, "`pattern` must be one of"),
        ({"scope": {"conv": 0.5}}, "keys of `scope` must be found"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    model = dense(6)
    with pytest.raises(ValueError, match=message):
        kerasreg.prune(model, **{"sparsity": 0.5, **arguments})
    assert zeros(model.weights[0]) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_raise(bad):
    model = dense(6, 4)
    kernel = array(model.layers[1].kernel).copy()
    kernel[2, 3] = bad
    model.layers[1].kernel.assign(kernel)
    with pytest.raises(ValueError, match="NaN or infinite weights in 'net/b/kernel'"):
        kerasreg.prune(model, 0.5)
    assert zeros(model.layers[0].kernel) == 0
    kerasreg.prune(model, 0.5, exclude="b/")
    assert zeros(model.layers[0].kernel) == 24


def test_unbuilt_models_and_other_objects_raise():
    with pytest.raises(ValueError, match="needs a built model"):
        kerasreg.prune(keras.Sequential([layers.Dense(3)]), 0.5)
    with pytest.raises(ValueError, match="needs a Keras model"):
        kerasreg.prune(layers.Dense(3), 0.5)


def test_empty_variables_are_skipped():
    class Empty(layers.Layer):
        def build(self, shape):
            self.nothing = self.add_weight(shape=(0, 3), name="nothing")
            self.factor = self.add_weight(shape=(), name="factor")

        def call(self, x):
            return x * self.factor

    model = keras.Sequential([keras.Input((8,)), Empty(name="e"), layers.Dense(3)], name="net")
    reason = "it is empty or a scalar"
    skipped = kerasreg.prune(model, 0.5).skipped
    assert (skipped["net/e/nothing"], skipped["net/e/factor"]) == (reason, reason)


def test_variables_of_equal_paths_are_distinguished():
    class Twins(layers.Layer):
        def build(self, shape):
            self.one = self.add_weight(shape=(8, 8), name="w")
            self.two = self.add_weight(shape=(8, 2), name="w")

        def call(self, x):
            return x @ self.one @ self.two

    model = nonzero(keras.Sequential([keras.Input((8,)), Twins(name="t")], name="net"))
    plan = kerasreg.prune(model, 0.75, scope={"t/w$": 0.25})
    assert {path: row.zeros for path, row in plan.variables.items()} == {
        "net/t/w": 16,
        "net/t/w_2": 4,
    }
    assert plan.variables.keys() == kerasreg.statistics(model).variables.keys()
    assert plan.sparsity == 0.25


def test_a_layer_named_like_a_seed_generator_is_pruned():
    stack = [layers.Dropout(0.5), layers.Dense(4, name="seed_generator")]
    model = keras.Sequential([keras.Input((8,)), *stack], name="net")
    plan = kerasreg.prune(model, 0.5)
    assert list(plan.variables) == ["net/seed_generator/kernel"]
    assert list(plan.skipped) == ["net/seed_generator/bias"]
