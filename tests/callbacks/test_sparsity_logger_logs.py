"""What other callbacks see, which names there are, and what is refused."""

import csv
import os

import keras
import numpy as np
import pytest
from event_files import event_files, read
from keras import layers
from watched import BACKEND, PLAIN, fit, net, without_updates

from kerasreg.callbacks import SparsityLogger, ThresholdPruning

BOTH_ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])


def pruned_at(epoch):
    """A callback with which sparsity is highest after `epoch`."""
    return ThresholdPruning(0.3, at=epoch)


def test_history_has_the_totals(tmp_path):
    history = fit(net(), [pruned_at(1), SparsityLogger(tmp_path)], epochs=2).history
    assert history["sparsity"][0] == 0 < history["sparsity"][1] < 1
    assert history["penalty"] == [0, 0]
    assert [type(value) for value in history["dead_units"]] == [float, float]


@BOTH_ORDERS
def test_a_history_in_the_list_has_the_totals(tmp_path, order):
    history = keras.callbacks.History()
    fit(net(), [history, SparsityLogger(tmp_path)][::order], epochs=1)
    assert "sparsity" in history.history


@BOTH_ORDERS
def test_csv_logger_has_the_totals(tmp_path, order):
    path = tmp_path / "log.csv"
    stock = keras.callbacks.CSVLogger(path)
    fit(net(), [pruned_at(1), *[SparsityLogger(tmp_path), stock][::order]], epochs=3)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [float(row["sparsity"]) > 0 for row in rows] == [False, True, False]


@BOTH_ORDERS
def test_early_stopping_monitors_a_total(tmp_path, order):
    stop = keras.callbacks.EarlyStopping("sparsity", mode="max", patience=0, baseline=0.1)
    history = fit(net(), [pruned_at(0), *[SparsityLogger(tmp_path), stop][::order]], epochs=5)
    assert len(history.epoch) == 2


@BOTH_ORDERS
def test_model_checkpoint_monitors_a_total(tmp_path, order):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{sparsity:.2f}.keras", "sparsity", save_best_only=True, mode="max"
    )
    history = fit(net(), [pruned_at(1), *[SparsityLogger(tmp_path), best][::order]], epochs=3)
    highest = history.history["sparsity"][1]
    assert (tmp_path / f"2-{highest:.2f}.keras").exists()
    assert not list(tmp_path.glob("3-*"))


def test_unknown_units_are_not_logged(tmp_path):
    class Scale(layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(2, 6), initializer="ones")

        def call(self, x):
            return x * self.factor[0]

    model = keras.Sequential([keras.Input((6,)), Scale(), layers.Flatten()])
    model.compile("sgd", lambda y, p: keras.ops.mean(p, axis=-1), **PLAIN)
    history = fit(model, [SparsityLogger(tmp_path)], epochs=1).history
    assert set(history) == {"loss", "sparsity", "sparsity_of_all", "penalty"}
    assert not any("dead" in tag for tag in read(tmp_path / "train"))


def test_tags_do_not_depend_on_the_name_of_the_model(tmp_path):
    tags = []
    for name in ("first", "second"):
        hidden = keras.Sequential([layers.Dense(2, name="dense")], name="block1")
        model = keras.Sequential(
            [keras.Input((6,)), hidden, layers.Dense(1, name="head")], name=name
        )
        model.compile("sgd", "mse", **PLAIN)
        fit(model, [SparsityLogger(tmp_path / name)], epochs=1)
        tags.append(set(read(tmp_path / name / "train")))
    assert "sparsity/block1/dense/kernel" in tags[0]
    assert tags[0] == tags[1]


def test_include_selects_the_measured_variables(tmp_path):
    logger = SparsityLogger(tmp_path, include="hidden/k", metrics=["zeros"])
    history = fit(net(), [logger], epochs=1)
    tags = {tag for tag in read(tmp_path / "train") if tag.startswith("zeros/")}
    assert tags == {"zeros/hidden/kernel"}
    assert history.history["sparsity"] == [0.0]


def test_penalties_are_logged_for_regularized_variables_only(tmp_path):
    fit(net(kernel_regularizer="l1"), [SparsityLogger(tmp_path)], epochs=1)
    tags = {tag for tag in read(tmp_path / "train") if tag.startswith("penalty/")}
    assert tags == {"penalty/hidden/kernel"}


def test_nan_weights_are_written_and_warned_about_once(tmp_path):
    model = net()
    model.get_layer("head").bias.assign([np.nan])
    with pytest.warns(RuntimeWarning, match="after 0 iterations in net/head/bias") as caught:
        fit(model, [SparsityLogger(tmp_path, include="bias", metrics=["l1"])], epochs=2)
    assert [warning.category for warning in caught].count(RuntimeWarning) == 1
    assert read(tmp_path / "train")["nonfinite/head/bias"] == [(0, 1), (4, 1), (8, 1)]
    assert all(np.isnan(value) for _, value in read(tmp_path / "train")["l1/head/bias"])


def test_two_loggers_write_to_two_folders(tmp_path):
    loggers = [SparsityLogger(tmp_path / "a"), SparsityLogger(tmp_path / "b", update_freq=2)]
    history = fit(net(), loggers, epochs=1)
    assert read(tmp_path / "a" / "train").keys() == read(tmp_path / "b" / "train").keys()
    assert len(history.history["sparsity"]) == 1


@pytest.mark.parametrize(
    "arguments", [({}, {}), ({"log_dir": "a"}, {"log_dir": "b", "include": "kernel"})]
)
def test_two_loggers_of_the_same_names_raise(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Two SparsityLoggers in one `fit` need different folders"):
        fit(net(), [SparsityLogger(**each) for each in arguments])
    assert os.listdir(tmp_path) == []


def test_evaluate_and_predict_write_nothing(tmp_path):
    model, x = net(), np.ones((8, 6))
    model.evaluate(x, np.ones((8, 1)), verbose=0, callbacks=[SparsityLogger(tmp_path)])
    model.predict(x, verbose=0, callbacks=[SparsityLogger(tmp_path)])
    assert os.listdir(tmp_path) == []


def test_validation_during_fit_is_not_logged_separately(tmp_path):
    data = (np.ones((8, 6)), np.ones((8, 1)))
    fit(net(), [SparsityLogger(tmp_path)], epochs=1, validation_data=data)
    assert [step for step, _ in read(tmp_path / "train")["total/sparsity"]] == [0, 4]


def test_the_default_folder_is_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(net(), [SparsityLogger()], epochs=1)
    assert len(event_files(tmp_path / "logs" / "train")) == 1


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "epochs", None])
def test_an_invalid_update_freq_raises(bad):
    with pytest.raises(ValueError, match=rf"`update_freq` must.*Received: update_freq={bad!r}"):
        SparsityLogger(update_freq=bad)


def test_a_folder_that_cannot_be_written_raises(tmp_path):
    (tmp_path / "file").touch()
    model = net()
    with pytest.raises(ValueError, match="`log_dir` must be a writable folder"):
        fit(model, [SparsityLogger(tmp_path / "file" / "logs")])
    assert int(model.optimizer.iterations) == 0


def test_an_include_that_matches_nothing_raises(tmp_path):
    with pytest.raises(ValueError, match="include='conv'"):
        fit(net(), [SparsityLogger(tmp_path, include="conv")])


def test_an_unbuilt_model_raises_unless_fit_builds_it(tmp_path):
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse", **PLAIN)
    if BACKEND == "tensorflow":
        with pytest.raises(ValueError, match=r"needs a built model.*keras\.Input"):
            fit(model, [SparsityLogger(tmp_path)])
    else:
        assert fit(model, [SparsityLogger(tmp_path)]).history["sparsity"][-1] == 0


@pytest.mark.parametrize("optimizer", ["sgd", None])
def test_batches_are_counted_if_the_optimizer_is_not_applied(tmp_path, optimizer):
    for update_freq, expected in {"epoch": [0, 4, 8], 3: [0, 3, 4, 6, 8]}.items():
        model, folder = without_updates(optimizer), tmp_path / str(update_freq)
        logger = SparsityLogger(folder, update_freq)
        fit(model, [logger], epochs=2)
        found = read(folder / "train")["total/sparsity"]
        assert [step for step, _ in found] == expected
        fit(model, [logger], epochs=1)
        assert max(step for step, _ in read(folder / "train")["total/sparsity"]) == 12


@pytest.mark.parametrize("update_freq", ["epoch", "batch"])
def test_a_metric_with_the_name_of_a_total_raises(tmp_path, update_freq):
    model = net()
    metric = keras.metrics.MeanSquaredError(name="sparsity")
    model.compile("sgd", "mse", metrics=[metric], **PLAIN)
    with pytest.raises(ValueError, match=r"metrics named \['sparsity'\]. Rename"):
        fit(model, [SparsityLogger(tmp_path, update_freq)])
