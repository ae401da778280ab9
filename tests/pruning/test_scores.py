"""What scores learn from training and from data, against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg import regularizers, schedules, scores
from kerasreg._pruning.scores.names import standardize_score
from kerasreg.callbacks import Pruning

RATE, STEPS = 0.1, 5
rng = np.random.default_rng(0)
X = rng.normal(size=(16, 6)).astype("float32")
Y = rng.normal(size=(16, 3)).astype("float32")


class Remember(scores.Score):
    """The scores of another, kept to look at."""

    def __init__(self, score):
        self._score, self.records = score, score.records

    def prepare(self, model, variables):
        self._score.prepare(model, variables)

    def record(self, *args):
        return self._score.record(*args)

    def __call__(self, variable, weights, record=None):
        self.found = np.array(self._score(variable, weights, record))
        return self.found


def linear(regularizer=None, **kwargs):
    layer = layers.Dense(3, use_bias=False, kernel_regularizer=regularizer, name="a", **kwargs)
    model = keras.Sequential([keras.Input((6,)), layer], name="net")
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


def array(variable):
    return keras.ops.convert_to_numpy(variable)


def gradient(kernel, penalty=0.0):
    return 2 / Y.size * X.T @ (X @ kernel - Y) + 2 * penalty * kernel


def history(kernel, penalty):
    """`[(weights, gradient)]` of gradient descent, before each step."""
    for _ in range(STEPS):
        yield kernel, gradient(kernel, penalty)
        kernel = kernel - RATE * gradient(kernel, penalty)


def taylor(steps, decay):
    record = 0.0
    for weights, grads in steps:
        record = decay * record + (1 - decay) * np.abs(weights * grads)
    return record


@pytest.mark.parametrize("penalty", [0.0, 0.05])
@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (scores.Taylor(decay=0.9), lambda steps: taylor(steps, 0.9)),
        (scores.Taylor(decay=0.0), lambda steps: taylor(steps, 0.0)),
        (scores.Movement(), lambda steps: -sum(w * g for w, g in steps)),
    ],
    ids=["taylor", "last taylor", "movement"],
)
def test_records_of_a_fit_match_numpy(score, expected, penalty):
    model = linear(regularizers.L2(penalty) if penalty else None)
    start, score = array(model.layers[0].kernel).copy(), Remember(score)
    pruning = Pruning(schedules.OneShot(0.5, STEPS), score=score)
    model.fit(X, Y, batch_size=16, epochs=STEPS, verbose=0, callbacks=[pruning])
    record = expected(list(history(start, penalty)))
    np.testing.assert_allclose(score.found, record, rtol=1e-4, atol=1e-6)
    zeros = array(model.layers[0].kernel).ravel() == 0
    np.testing.assert_array_equal(np.flatnonzero(zeros), np.sort(np.argsort(record.ravel())[:9]))


@pytest.mark.parametrize(
    "score", [scores.SNIP(X, Y), scores.Activation(X), scores.Random()], ids=["snip", "act", "any"]
)
def test_scores_from_data_are_the_same_in_a_fit_and_in_one_shot(score):
    model = linear()
    start = model.get_weights()
    kerasreg.prune(model, 0.5, score=score)
    expected = array(model.layers[0].kernel) == 0
    model.set_weights(start)
    pruning = Pruning(schedules.OneShot(0.5), score=score)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    np.testing.assert_array_equal(array(model.layers[0].kernel) == 0, expected)
    assert expected.sum() == 9


def test_random_scores_are_reproducible_and_differ_between_variables():
    def pruned(seed):
        model = keras.Sequential([keras.Input((9,)), layers.Dense(9), layers.Dense(9)], name="net")
        kerasreg.prune(model, 0.5, score=scores.Random(seed))
        return [array(model.layers[index].kernel) == 0 for index in (0, 1)]

    first, second = pruned(3)
    np.testing.assert_array_equal(pruned(3), [first, second])
    assert (first != second).any()
    assert (pruned(4)[0] != first).any()


def test_functions_are_scores():
    model = linear()
    order = np.arange(18)[::-1].reshape(6, 3)
    for result in (order, order.astype("float16"), keras.ops.convert_to_tensor(order)):
        for pattern, zeros in (("unstructured", 9), ("2:4", 6), ("unit", 12)):
            model = linear()
            plan = kerasreg.prune(
                model,
                None if pattern == "2:4" else 0.5,
                pattern,
                lambda v, w: result,  # noqa: B023
                include="kernel",  # Its units are outputs of the model.
            )
            assert plan["net/a/kernel"].zeros == zeros
    seen = []
    kerasreg.prune(linear(), 0.5, score=lambda v, w: seen.append((v.path, w.dtype)) or w)
    assert seen == [("net/a/kernel", np.dtype("float32"))]


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda variable, weights: weights[0], r"Received: shape \(3,\)"),
        (lambda variable, weights: weights * np.nan, "scores of 'net/a/kernel' must not be NaN"),
        ("taylor", "Taylor needs gradients that are recorded"),
        ("movement", "Movement needs gradients that are recorded"),
        ("snip", "`score` must be one of"),
        (scores.Magnitude, "`score` must be one of"),
        (None, "Received: score=None"),
    ],
)
def test_invalid_scores_raise(score, message):
    model = linear()
    before = array(model.layers[0].kernel).copy()
    with pytest.raises(ValueError, match=message):
        kerasreg.prune(model, 0.5, score=score)
    np.testing.assert_array_equal(array(model.layers[0].kernel), before)


@pytest.mark.parametrize(
    "build",
    [
        lambda: scores.Random(-1),
        lambda: scores.Random(0.5),
        lambda: scores.Taylor(1.0),
        lambda: scores.Taylor("0.9"),
        lambda: scores.Taylor(-0.1),
    ],
)
def test_invalid_arguments_raise(build):
    with pytest.raises(ValueError, match=r"`(seed|decay)` must be"):
        build()


def test_short_names_are_scores():
    for name, kind in (("magnitude", scores.Magnitude), ("random", scores.Random)):
        assert isinstance(standardize_score(name), kind)
