"""Which weights fall below the threshold, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._pruning.threshold import epochs_to_prune

BACKEND = keras.backend.backend()


def net(*kernels, dtype="float32"):
    """Dense layers `a`, `b`, ... without activation, with biases of 0.001."""
    names = "abcdef"
    stack = [keras.Input((len(kernels[0]),))]
    for name, kernel in zip(names, kernels, strict=False):
        stack.append(layers.Dense(np.shape(kernel)[1], name=name, dtype=dtype))
    model = keras.Sequential(stack, name="net")
    for layer, kernel in zip(model.layers, kernels, strict=True):
        layer.set_weights([np.asarray(kernel), np.full(np.shape(kernel)[1], 0.001)])
    return model


def kernel(model, name="a"):
    return array(model.get_layer(name).kernel)


def array(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable)).astype("float64")


def test_exactly_the_weights_below_the_threshold_become_zero():
    w = np.random.default_rng(0).normal(size=(40, 30)).astype("float32")
    model = net(w)
    report = kerasreg.prune_below(model, 0.5)
    expected = np.where(np.abs(w) < 0.5, 0, w)
    np.testing.assert_array_equal(kernel(model), expected)
    assert report == {"net/a/kernel": int(np.sum(expected == 0))}


def test_a_weight_equal_to_the_threshold_is_kept():
    model = net([[0.1, -0.1]])
    kerasreg.prune_below(model, 0.1)
    assert np.count_nonzero(kernel(model)) == 2


def test_a_threshold_of_zero_prunes_nothing():
    assert kerasreg.prune_below(net([[1e-30, -1.0]]), 0.0) == {"net/a/kernel": 0}


def test_existing_zeros_are_not_counted():
    model = net([[0.0, -0.0, 0.01]])
    assert kerasreg.prune_below(model, 0.1) == {"net/a/kernel": 1}


def test_biases_are_not_pruned_by_default():
    model = net([[0.01]])
    kerasreg.prune_below(model, 0.1)
    assert array(model.weights[1]) == np.float32(0.001)


def test_biases_that_include_matches_are_pruned():
    assert kerasreg.prune_below(net([[0.01]]), 0.1, include="bias") == {"net/a/bias": 1}


def test_excluded_variables_are_not_pruned():
    report = kerasreg.prune_below(net([[0.01]], [[0.01]]), 0.1, exclude="/a/")
    assert report == {"net/b/kernel": 1}


def test_the_first_matching_expression_counts():
    model = net([[0.2, 2.0]], [[0.2], [2.0]])
    kerasreg.prune_below(model, {"/a/": 0.1, "kernel": 1.0})
    assert (np.count_nonzero(kernel(model, "a")), np.count_nonzero(kernel(model, "b"))) == (2, 1)


def test_a_variable_without_a_matching_expression_is_not_pruned():
    assert kerasreg.prune_below(net([[0.1]], [[0.1]]), {"/a/": 1.0}) == {"net/a/kernel": 1}


def test_relative_thresholds_suit_layers_of_any_scale():
    w = np.random.default_rng(0).normal(size=(30, 30))
    model = net(w, 1e3 * w)
    report = kerasreg.prune_below(model, 0.5, relative=True)
    root_mean_square = np.sqrt(np.mean(w.astype("float32") ** 2))
    assert report["net/a/kernel"] == np.sum(np.abs(w) < 0.5 * root_mean_square)
    assert report["net/b/kernel"] == report["net/a/kernel"]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_relative_thresholds_neither_overflow_nor_underflow(scale):
    model = net(scale * np.array([[1.0, 0.01]]))
    assert kerasreg.prune_below(model, 0.5, relative=True) == {"net/a/kernel": 1}


def test_a_relative_threshold_on_zeros_prunes_nothing():
    assert kerasreg.prune_below(net(np.zeros((2, 2))), 0.5, relative=True) == {"net/a/kernel": 0}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_supported(dtype):
    model = net([[0.01, 0.5]], dtype=dtype)
    kerasreg.prune_below(model, 0.1)
    np.testing.assert_array_equal(kernel(model), [[0.0, 0.5]])


def test_frozen_layers_are_not_pruned():
    model = net([[0.01]], [[0.01]])
    model.get_layer("a").trainable = False
    assert kerasreg.prune_below(model, 0.1) == {"net/b/kernel": 1}


@pytest.mark.parametrize("bad", [-1e-3, np.nan, np.inf, True, "0.1", None, {"kernel": -1.0}, {}])
def test_invalid_thresholds_raise(bad):
    with pytest.raises(ValueError, match="`threshold` must"):
        kerasreg.prune_below(net([[1.0]]), bad)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"threshold": {"conv": 0.1}}, r"\['conv'\]"),
        ({"threshold": {"a/kernel": 0.1, "a/k": 0.1}}, r"\['a/k'\]"),
        ({"include": "conv"}, r"\['conv'\]"),
        ({"exclude": "conv"}, r"\['conv'\]"),
        ({"include": "kernel", "exclude": "a"}, "include='kernel' and exclude='a'"),
    ],
)
def test_expressions_that_select_nothing_raise(arguments, received):
    with pytest.raises(ValueError, match=rf"{received} select no variable.*net/a/kernel"):
        kerasreg.prune_below(net([[1.0]]), **arguments)


def test_a_model_without_kernels_raises():
    model = keras.Sequential([keras.Input((2,)), layers.BatchNormalization()])
    with pytest.raises(ValueError, match="include=None and exclude=None select no variable"):
        kerasreg.prune_below(model)


def test_an_unbuilt_model_raises():
    with pytest.raises(ValueError, match="needs a built model"):
        kerasreg.prune_below(keras.Sequential([layers.Dense(1)]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_weights_raise_and_nothing_is_pruned(bad):
    model = net([[0.01]], [[bad]])
    with pytest.raises(ValueError, match=r"NaN or infinite weights in \['net/b/kernel'\]"):
        kerasreg.prune_below(model, 0.1)
    assert np.count_nonzero(kernel(model, "a")) == 1


@pytest.mark.parametrize(
    ("at", "epochs"),
    [("end", set()), (0, {0}), (np.int64(3), {3}), ([1, 3], {1, 3}), (range(2, 4), {2, 3})],
)
def test_epochs_become_a_set(at, epochs):
    assert epochs_to_prune(at) == epochs


@pytest.mark.parametrize("at", [-1, 1.0, True, None, [], "never", [1, "end"], [[1]], [-1]])
def test_invalid_epochs_raise(at):
    with pytest.raises(ValueError, match="`at` must be"):
        epochs_to_prune(at)


def test_an_array_of_epochs_is_accepted():
    assert epochs_to_prune(np.array([1, 2])) == {1, 2}
