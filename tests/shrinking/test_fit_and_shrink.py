"""`fit_and_shrink`: training with removal of dead units between epochs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from watched import PLAIN

import kerasreg
from kerasreg._training.timing import Timing
from kerasreg.callbacks import (
    CoupledGroupLasso,
    PenaltySchedule,
    ProximalGradient,
    PruneUntil,
    Pruning,
    SparsityLogger,
    ThresholdPruning,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(64, 4, 4, 2)).astype("float32")
Y = (X.mean((1, 2)) @ rng.normal(size=(2, 3))).astype("float32")
OPTIONS = {"batch_size": 8, "shuffle": False, "verbose": 0}


def net(optimizer="adam", dead=(), penalty=None):
    """Returns a network with 8 residual channels; all weights of the `dead` ones are zero."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 2))
    options = {"padding": "same", "kernel_regularizer": penalty}
    x = keras.layers.Conv2D(8, 3, use_bias=False, name="a", **options)(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    y = keras.layers.Conv2D(8, 3, name="b", activation="relu", **options)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))
    model = keras.Model(inputs, keras.layers.Dense(3, name="c", kernel_regularizer=penalty)(x))
    if dead:
        (group,) = kerasreg.coupled_groups(model)
        group.zero(list(dead))
    model.compile(optimizer, "mse", metrics=["mae"], **PLAIN)
    return model


def fit(model, callbacks=None, epochs=4, **kwargs):
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **{**OPTIONS, **kwargs})


def shrinking_fit(model, callbacks=None, epochs=4, **kwargs):
    options = {"only_if_faster": False, **OPTIONS, **kwargs}
    return kerasreg.fit_and_shrink(model, X, Y, epochs=epochs, callbacks=callbacks, **options)


def outputs(model):
    return model.predict(X, verbose=0)


class Events(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen, self.models = [], []

    def on_train_begin(self, logs=None):
        self.seen.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)
        self.models.append(self.model.count_params())

    def on_train_end(self, logs=None):
        self.seen.append("end")


def test_pruned_units_are_removed_and_training_is_identical():
    events, pruning = Events(), Pruning(0.5, pattern="coupled")
    small, history = shrinking_fit(
        net(), [pruning, SparsityLogger(log_dir=False), events], validation_data=(X, Y), epochs=5
    )
    same, other = net(), Pruning(0.5, pattern="coupled")
    expected = fit(same, [other], epochs=5, validation_data=(X, Y))
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)
    assert events.seen == ["begin", *range(5), "end"]
    assert history.epoch == [0, 1, 2, 3, 4]
    assert events.models == history.history["parameters"]
    assert events.models[-1] < events.models[0]
    assert history.history["flops"][-1] < history.history["flops"][0]
    assert small.get_layer("a").filters == small.get_layer("b").filters == 4
    assert pruning.pruned == pytest.approx(other.pruned)
    assert pruning.sparsity == pytest.approx(0.5)
    assert int(small.optimizer.iterations) == 40
    # The returned model can be trained without the callbacks.
    assert len(fit(small, epochs=1).history["loss"]) == 1


def test_global_pruning_uses_the_unit_counts_of_the_original_model():
    def pruning():
        return Pruning(0.5, pattern="coupled", scope="global")

    small, _ = shrinking_fit(net(), [pruning()])
    same = net()
    fit(same, [pruning()])
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)


GROUPS = kerasreg.regularizers.GroupLasso(1e-3)
SPARSE_GROUPS = kerasreg.regularizers.SparseGroupLasso(1e-3, l1_ratio=0.3)
CONCAVE = kerasreg.regularizers.GroupMCP(1e-3)


@pytest.mark.parametrize(
    "penalty", [GROUPS, SPARSE_GROUPS, CONCAVE], ids=lambda p: type(p).__name__
)
def test_the_objective_equals_that_of_the_larger_model(penalty):
    def make():
        return net(keras.optimizers.SGD(0.02, momentum=0.9), dead=(1, 4, 5), penalty=penalty)

    small, history = shrinking_fit(make(), [ProximalGradient()])
    same = make()
    expected = fit(same, [ProximalGradient()])
    assert history.history["parameters"][1] < history.history["parameters"][0]
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)
    # A group has 9 * 5 of 9 * 8 weights left.
    price = small.get_layer("b").kernel_regularizer.factor
    if not isinstance(penalty, kerasreg.regularizers.SparseGroupLasso):
        assert price == pytest.approx(1e-3 * np.sqrt(8 / 5))


def test_coupled_groups_keep_their_penalty():
    def callbacks():
        return [CoupledGroupLasso(1e-3), PenaltySchedule(warmup_steps=4, ramp_steps=10)]

    def make():
        return net(keras.optimizers.SGD(0.02, momentum=0.9), dead=(1, 4, 5))

    lasso = callbacks()
    small, history = shrinking_fit(make(), lasso)
    same = make()
    expected = fit(same, callbacks())
    assert history.history["parameters"][1] < history.history["parameters"][0]
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)
    assert history.history["penalty_scale"] == expected.history["penalty_scale"]
    assert [group.units for group in lasso[0].groups] == [5]


def test_ema_averages_include_all_epochs_of_the_run():
    def make():
        return net(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), dead=(1, 4))

    small, history = shrinking_fit(make(), epochs=3)
    same = make()
    expected = fit(same, epochs=3)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)


def test_early_stopping_restores_the_model_of_the_best_epoch():
    stopping = keras.callbacks.EarlyStopping("loss", 2, mode="max", restore_best_weights=True)
    pruning = Pruning(0.5, pattern="coupled")
    with pytest.warns(UserWarning, match="should reach 50.0% zeros"):
        small, history = shrinking_fit(net(), [pruning, stopping], epochs=8)
    best, sizes = stopping.best_epoch, history.history["parameters"]
    assert len(sizes) < 8
    assert sizes[-1] < sizes[best]
    same = net()
    expected = fit(same, [Pruning(0.5, pattern="coupled"), Events()], epochs=8)
    assert history.history["loss"] == pytest.approx(
        expected.history["loss"][: len(sizes)], rel=1e-4
    )
    # The units that are zero in that epoch are removed at the end.
    assert small.count_params() == sizes[best + 1]
    assert pruning.sparsity < 0.5


def test_keras_callbacks_are_called_as_in_one_fit(tmp_path):
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate)
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    board = keras.callbacks.TensorBoard(tmp_path / "board") if PLAIN else Events()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1)
    callbacks = [rates, saved, log, board, plateau]
    small, history = shrinking_fit(net(dead=(1, 4)), callbacks, epochs=3)
    assert small.get_layer("a").filters == 6
    np.testing.assert_allclose(
        history.history["learning_rate"], 1e-3 * 0.9 ** np.arange(1, 4), 1e-6
    )
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    widths = [keras.saving.load_model(tmp_path / f"{n}.keras") for n in (1, 2, 3)]
    assert [each.get_layer("a").filters for each in widths] == [8, 6, 6]


def test_threshold_pruning_keeps_its_zeros():
    holding = ThresholdPruning(0.05, at=0, hold=True)
    small, _ = shrinking_fit(net(dead=(1, 4)), [holding], epochs=3)
    same = net(dead=(1, 4))
    fit(same, [ThresholdPruning(0.05, at=0, hold=True)], epochs=3)
    assert small.get_layer("a").filters <= 6
    np.testing.assert_allclose(outputs(small), outputs(same), atol=1e-5)


def test_units_are_removed_only_after_multiples_of_shrink_every(capsys):
    _, history = shrinking_fit(net(dead=(1, 4)), shrink_every=2, epochs=5, verbose=2)
    sizes = history.history["parameters"]
    assert sizes[0] == sizes[1] > sizes[2] == sizes[4]
    assert "Shrunk after epoch 2: 2 units removed, parameters " in capsys.readouterr().out


def test_units_are_removed_only_at_the_end_if_no_time_would_be_saved(monkeypatch):
    asked = []

    def pays(timing, fraction, epochs):
        asked.append((fraction, epochs))
        return False

    monkeypatch.setattr(Timing, "pays", pays)
    small, history = shrinking_fit(net(dead=(1,)), epochs=3, only_if_faster=True)
    assert len(set(history.history["parameters"])) == 1
    assert small.get_layer("a").filters == 7
    assert [epochs for _, epochs in asked] == [2, 1]
    # Removing 1 of 8 channels saves 1/8 of one convolution and 15/64 of the other.
    assert 0.1 < asked[0][0] < 0.25


def test_predicted_savings_are_compared_with_the_last_compilation_time():
    timing = Timing()
    timing.epoch, timing.restart = 10.0, 4.0
    assert timing.pays(0.5, 1)
    assert not timing.pays(0.1, 3)
    # The previous removal saved half of the predicted time.
    timing.share_seen = 0.5
    assert not timing.pays(0.5, 1)


def test_widths_remain_multiples_of_round_to():
    small, history = shrinking_fit(net(dead=(1, 4, 5)), epochs=2, round_to=4)
    assert small.get_layer("a").filters == 8
    assert len(set(history.history["parameters"])) == 1


def test_invalid_arguments_raise():
    class Own(keras.Model):
        def train_step(self, *args):
            return super().train_step(*args)

    plain = net()
    own = Own(plain.inputs, plain.outputs)
    own.compile("sgd", "mse")
    with pytest.raises(ValueError, match="train_step"):
        shrinking_fit(own)
    with pytest.raises(ValueError, match="needs a compiled model"):
        shrinking_fit(keras.Model(plain.inputs, plain.outputs))
    with pytest.raises(ValueError, match='pattern="coupled"'):
        shrinking_fit(plain, [Pruning(0.5)])
    with pytest.raises(ValueError, match="PruneUntil"):
        shrinking_fit(plain, [PruneUntil("loss")])
    for name in ("epochs", "shrink_every", "round_to"):
        with pytest.raises(ValueError, match=name):
            shrinking_fit(plain, **{name: 0})


def resumable(folder, *callbacks):
    backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    own = [CoupledGroupLasso(1e-3), Pruning(0.5, pattern="coupled"), backup, *callbacks]
    return shrinking_fit(net(keras.optimizers.SGD(0.05, momentum=0.9)), own, epochs=6)


CHILD = """
import os, sys
sys.path[:0] = {folders!r}
from test_fit_and_shrink import keras, resumable

class Kill(keras.callbacks.Callback):
    batches = 0
    def on_train_batch_end(self, batch, logs=None):
        Kill.batches += 1
        if Kill.batches == 29:
            os.kill(os.getpid(), 9)

resumable(sys.argv[1], Kill())
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_resumes_with_the_same_result(tmp_path):
    here = os.path.dirname(__file__)
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(folders=[os.path.dirname(here), here, os.getcwd()]))
    arguments = [sys.executable, script, tmp_path / "killed"]
    assert subprocess.run(arguments, capture_output=True, timeout=300, check=False).returncode == -9
    small, history = resumable(tmp_path / "killed")
    assert history.epoch[0] == 3
    whole, expected = resumable(tmp_path / "whole")
    assert expected.history["parameters"][3:] == history.history["parameters"]
    assert expected.history["parameters"][0] > expected.history["parameters"][2]
    for one, other in zip(small.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
