"""Messages: where warnings point, and what lists in them show."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._common.texts import listed, nearest
from kerasreg.callbacks import (
    CoupledGroupLasso,
    ProximalGradient,
    PruneUntil,
    Pruning,
    SparsityLogger,
    ThresholdPruning,
)
from kerasreg.regularizers import L1

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def net(**kwargs):
    first = layers.Dense(4, "relu", name="a", **kwargs)
    model = keras.Sequential([keras.Input((3,)), first, layers.Dense(1, name="b")], name="net")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def with_infinity():
    model = net(kernel_regularizer=L1(0.1))
    model.compile(keras.optimizers.SGD(np.inf), "mse")
    return model


WARNED = {
    "advice": (lambda: net(kernel_regularizer=L1(0.1)), lambda _: ProximalGradient(), 1),
    "deaths": (lambda: net(kernel_regularizer=L1(1e6)), lambda _: CoupledGroupLasso(1e6), 1),
    "not finite": (with_infinity, lambda path: SparsityLogger(path), 1),
    "too short": (net, lambda _: PruneUntil("loss", tolerance=1e6, sparsities=(0.5, 0.6)), 2),
    "never reached": (
        net,
        lambda _: Pruning(kerasreg.schedules.Polynomial(0.9, end_step=9, frequency=1)),
        1,
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_warning_of_a_callback_points_to_the_fit(name, tmp_path):
    make, callback, epochs = WARNED[name]
    model = make()
    with pytest.warns() as found:
        model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[callback(tmp_path)])
    # Keras' own arrays warn as well.
    ours = [each for each in found if each.category is not DeprecationWarning]
    assert {each.filename for each in ours} == {__file__}
    assert {each.lineno for each in ours} == {_line_of("model.fit(X, Y, epochs=epochs")}


def test_a_warning_of_a_callback_that_stops_early_points_to_the_fit():
    model = net()
    pruning = ThresholdPruning(0.1, at=2)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True)
    )
    with pytest.warns(RuntimeWarning, match="did not prune") as found:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[pruning, stop])
    assert found[0].filename == __file__


def test_a_warning_inside_a_context_points_to_the_with_statement():
    model = net(kernel_regularizer=L1(0.1))
    optimizer = keras.optimizers.Muon()
    with pytest.warns(UserWarning, match="Muon") as found, kerasreg.proximal(model, optimizer):
        pass
    assert found[0].filename == __file__
    assert found[0].lineno == _line_of("kerasreg.proximal(model, optimizer)")


def test_warnings_of_two_fits_are_distinguished():
    model = net(kernel_regularizer=L1(0.1))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(2):
            model.fit(X, Y, verbose=0, callbacks=[ProximalGradient()])
        model.fit(X, Y, verbose=0, callbacks=[ProximalGradient()])
    # Python shows a text once for a line.
    assert len([each for each in found if "evaded" in str(each.message)]) == 2


def test_a_few_paths_are_all_listed():
    assert nearest("x", ["net/a/kernel"]) == "the paths are ['net/a/kernel']"
    assert listed("abcdefg") == "a, b, c, d, e, 2 more"


def test_of_many_paths_the_nearest_ten_are_listed():
    blocks = [f"net/stage{s}_block{b}/conv/kernel" for s in range(5) for b in range(40)]
    paths = [*blocks, "net/encoder/attention/query/kernel", "net/logits/kernel", "net/logits/bias"]
    text = nearest("logit/kernel", paths)
    assert text.startswith("the nearest of the 203 paths are ['net/logits/kernel', ")
    assert text.count("'") == 20
    assert nearest("encoder.*querry", paths).count("net/encoder/attention/query/kernel") == 1
    assert nearest("stage3_block17/convolution", paths).split("'")[1] == blocks[3 * 40 + 17]
    assert nearest(r"\d+(", paths).count("'") == 20


def _deep():
    stack = [layers.Dense(2, name=f"dense_number_{number}") for number in range(60)]
    model = keras.Sequential([keras.Input((2,)), *stack], name="net")
    model.compile("sgd", "mse")
    return model


def test_an_expression_that_matches_nothing_lists_few_paths(tmp_path):
    model = _deep()
    model.get_layer("dense_number_3").kernel.regularizer = L1(0.1)
    wrong = "dense_numbr_7/kernel"

    def fit(callback):
        model.fit(X[:, :2], X[:, :2], verbose=0, callbacks=[callback])

    calls = {
        "statistics": lambda: kerasreg.statistics(model, include=wrong),
        "summary": lambda: kerasreg.summary(model, include=wrong),
        "attach": lambda: kerasreg.attach(model, {wrong: "l1"}),
        "prune include": lambda: kerasreg.prune(model, 0.5, include=wrong),
        "prune exclude": lambda: kerasreg.prune(model, 0.5, exclude=wrong),
        "prune scope": lambda: kerasreg.prune(model, 0.5, scope={wrong: 0.5}),
        "prune_below": lambda: kerasreg.prune_below(model, 0.1, include=wrong),
        "prune_below dict": lambda: kerasreg.prune_below(model, {wrong: 0.1}),
        "coupled": lambda: kerasreg.prune(model, 0.5, pattern="coupled", include=wrong),
        "Pruning": lambda: fit(Pruning(0.5, include=wrong)),
        "CoupledGroupLasso": lambda: fit(CoupledGroupLasso(include=wrong)),
        "PenaltySchedule": lambda: fit(kerasreg.callbacks.PenaltySchedule(include=wrong)),
        "SparsityLogger": lambda: fit(SparsityLogger(tmp_path, include=wrong)),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=wrong) as error:
            call()
        assert len(str(error.value)) < 900, (name, str(error.value))
        if name != "PenaltySchedule":
            assert "dense_number_7/kernel" in str(error.value), (name, str(error.value))


def _line_of(text):
    with open(__file__) as file:
        lines = file.read().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
