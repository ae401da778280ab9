"""What counts, what the numbers mean, and that logging stops no training."""

import os
import shutil

import keras
import needs
import numpy as np
import pytest
from event_files import read
from keras import layers, optimizers
from watched import PLAIN, fit, net

import kerasreg
from kerasreg.callbacks import (
    CoupledGroupLasso,
    PenaltySchedule,
    ProximalGradient,
    PruneUntil,
    Pruning,
    SparsityLogger,
    ThresholdPruning,
)

LINEAR = kerasreg.schedules.Linear(0.9, begin_step=1, end_step=12, frequency=1)
BOTH_ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])


def five_layers():
    stack = []
    for number in range(4):
        stack += [layers.Conv2D(2, 2, name=f"conv{number}"), layers.BatchNormalization()]
    stack += [layers.Flatten(), layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((6, 6, 1)), *stack])
    model.compile("sgd", "mse", **PLAIN)
    return model


def test_the_default_tags_are_those_of_three_metrics(tmp_path):
    names = [*(f"conv{number}" for number in range(4)), "head"]
    x, y = np.ones((4, 6, 6, 1)), np.ones((4, 2))
    five_layers().fit(x, y, verbose=0, callbacks=[SparsityLogger(tmp_path)])
    assert set(read(tmp_path / "train")) == {
        *(f"{metric}/{name}/kernel" for metric in ("sparsity", "dead_units") for name in names),
        *(f"total/{name}" for name in ("sparsity", "sparsity_of_all", "penalty", "dead_units")),
    }
    logger = SparsityLogger(tmp_path / "more", include="moving|conv0", metrics=["max", "l1"])
    five_layers().fit(x, y, verbose=0, callbacks=[logger])
    tags = set(read(tmp_path / "more" / "train"))
    assert {"l1/conv0/bias", "total/max"} <= tags
    assert any(tag.endswith("moving_variance") for tag in tags)
    assert not any("sparsity" in tag for tag in tags)


def test_without_a_folder_only_the_logs_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history = fit(net(), [SparsityLogger(log_dir=False)], epochs=2).history
    assert history["sparsity"] == [0.0, 0.0]
    assert os.listdir(tmp_path) == []


@needs.TENSORFLOW
def test_without_a_folder_nothing_is_written_for_tensorboard(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(net(), [SparsityLogger(False), keras.callbacks.TensorBoard("stock")], epochs=1)
    assert read(tmp_path / "stock" / "train") == {}


@pytest.mark.parametrize("bad", ["zeros", ["sparsity", "norm"], 3, None])
def test_invalid_metrics_raise(bad):
    with pytest.raises(ValueError, match=r"`metrics` must be a list with some of.*Received: met"):
        SparsityLogger(metrics=bad)


@pytest.mark.parametrize("bad", [True, 3])
def test_an_invalid_folder_raises(bad):
    with pytest.raises(ValueError, match=f"`log_dir` must be a folder.*log_dir={bad}"):
        SparsityLogger(log_dir=bad)


@BOTH_ORDERS
@pytest.mark.parametrize("arguments", [{}, {"exclude": "head"}, {"include": "head/k|hidden/bias"}])
def test_sparsity_equals_the_target_of_pruning(tmp_path, order, arguments):
    pruning = Pruning(LINEAR, min_units=0, **arguments)
    model = net()
    logs = fit(model, [pruning, SparsityLogger(tmp_path)][::order], epochs=4).history
    prunable = 48 if "exclude" in arguments else 16 if "include" in arguments else 56
    # Whole weights are pruned, in each of up to three variables.
    assert logs["sparsity"] == pytest.approx(logs["target_sparsity"], abs=1.5 / prunable)
    assert logs["target_sparsity"][0] < logs["target_sparsity"][1] < 0.9
    assert logs["target_sparsity"][-1] == pytest.approx(0.9)
    zeros = sum(np.sum(w == 0) for w in model.get_weights())
    assert logs["sparsity_of_all"][-1] == pytest.approx(zeros / 65)
    tags = read(tmp_path / "train")
    assert [v for _, v in tags["total/target_sparsity"]][-1] == np.float32(0.9)
    assert ("sparsity/hidden/bias" in tags) == ("include" in arguments)


def test_without_pruning_there_is_no_target(tmp_path):
    history = fit(net(), [ThresholdPruning(0.3, at=0), SparsityLogger(tmp_path)], epochs=1).history
    assert "target_sparsity" not in history
    assert not [tag for tag in read(tmp_path / "train") if "target" in tag]


def test_frozen_kernels_are_not_measured():
    model = net()
    model.get_layer("hidden").trainable = False
    model.compile("sgd", "mse", **PLAIN)
    model.get_layer("hidden").kernel.assign(np.zeros((6, 8)))
    logs = fit(model, [Pruning(0.5, include=None), SparsityLogger(False)], epochs=1).history
    assert logs["sparsity_of_all"][0] > 48 / 65
    assert logs["sparsity"] == [0.5]


SCHEDULED = {
    "prox": lambda: [ProximalGradient()],
    "gradient": list,
    "groups": lambda: [CoupledGroupLasso(0.3)],
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_the_penalty_is_that_of_the_loss_with_a_schedule(tmp_path, name):
    model = net(optimizers.SGD(0.0), kernel_regularizer="l1")
    kerasreg.attach(model, {"head/bias": keras.regularizers.L2(0.5)})
    model.get_layer("head").bias.assign([2.0])
    model.compile(optimizers.SGD(0.0), "mse", metrics=["mse"], **PLAIN)
    schedule = PenaltySchedule(lambda step: 0.25 * keras.ops.cast(step // 4, "float32"))
    logger = SparsityLogger(tmp_path)
    logs = fit(model, [logger, schedule, *SCHEDULED[name]()], epochs=3).history
    in_loss = np.subtract(logs["loss"], logs["mse"])
    assert logs["penalty"] == pytest.approx(in_loss.tolist(), rel=1e-4, abs=1e-6)
    assert logs["penalty"][0] == 0 < logs["penalty"][1]
    found = dict(read(tmp_path / "train")["total/penalty"])
    assert [found[4 * epoch] for epoch in (1, 2, 3)] == pytest.approx(logs["penalty"], rel=1e-6)


class Moves(keras.callbacks.Callback):
    """Sets weights when the fit ends."""

    def on_train_end(self, logs=None):
        self.model.get_layer("hidden").kernel.assign(np.eye(6, 8))


def best(monitor="loss"):
    return keras.callbacks.EarlyStopping(
        monitor, mode="max", patience=9, restore_best_weights=True, start_from_epoch=0
    )


LAST = {
    "pruning": lambda: [Pruning(LINEAR), best()],
    "pruning that is not held": lambda: [Pruning(LINEAR, hold=False)],
    "until": lambda: [PruneUntil("loss", 9.0, (0.3, 0.6, 0.8))],
    "polish": lambda: [ProximalGradient({"x": np.ones((8, 6)), "y": np.ones((8, 1))})],
    "own": lambda: [Moves()],
    "the sparsest": lambda: [Pruning(LINEAR), best("sparsity")],
    "two loggers": lambda: [SparsityLogger(False, include="kernel"), Moves(), best("loss")],
}


@BOTH_ORDERS
@pytest.mark.parametrize("name", LAST)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_last_numbers_are_those_of_the_final_model(tmp_path, name, order):
    model = net(optimizers.SGD(0.05), kernel_regularizer="l1" if name == "polish" else None)
    logger = SparsityLogger(tmp_path, include="kernel", metrics=["l1"])
    fit(model, [logger, *LAST[name]()][::order], epochs=4)
    expected = sum(np.sum(np.abs(w)) for w in model.get_weights() if w.ndim == 2)
    assert read(tmp_path / "train")["total/l1"][-1][1] == pytest.approx(expected, rel=1e-6)


def disk_full(*_, **__):
    raise OSError(28, "No space left on device")


class Broken(keras.regularizers.Regularizer):
    """Cannot be measured outside of the loss."""

    fails = False

    def __call__(self, x):
        if Broken.fails:
            raise TypeError("cannot be called now")
        return 0.1 * keras.ops.sum(keras.ops.abs(x))


# Without TensorFlow, a thread of TensorBoard writes the files, and ends where they are gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_errors_in_logging_become_warnings(tmp_path, monkeypatch):
    class Spoil(keras.callbacks.Callback):
        """Something happens to the files in the middle."""

        def __init__(self, how):
            super().__init__()
            self.how = how

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.how(self.model)

    writer = "kerasreg.callbacks.sparsity_logger.ScalarWriter"
    spoilt = {
        "full": lambda _: monkeypatch.setattr(f"{writer}.write", disk_full),
        "close": lambda _: monkeypatch.setattr(f"{writer}.close", disk_full),
        "measure": lambda _: setattr(Broken, "fails", True),
        "gone": lambda _: shutil.rmtree(tmp_path / "gone"),
        "closed": lambda _: logger._writer._writer.close(),
    }
    if keras.backend.backend() == "torch":
        # Each step computes the penalty anew, so the training itself would fail.
        del spoilt["measure"]
    losses = fit(net(), [], epochs=3).history["loss"]
    for name, how in spoilt.items():
        model = net()
        if name == "measure":
            kerasreg.attach(model, {"head/bias": Broken()})
        logger = SparsityLogger(tmp_path / name)
        with pytest.warns() as caught:
            history = fit(model, [Spoil(how), logger], epochs=3).history
        texts = [str(each.message) for each in caught if each.category is RuntimeWarning]
        if name in ("full", "close", "measure", "closed"):
            assert len(texts) == 1, (name, texts)
            assert "the training continues without it" in texts[0]
        assert len(history["sparsity"]) == (3 if name != "measure" else 1)
        if name != "measure":
            assert history["loss"] == losses
        monkeypatch.undo()
        Broken.fails = False
