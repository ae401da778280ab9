"""Zeros in what other callbacks save and restore, and after a killed fit."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import optimizers
from watched import Interrupt, Watch, fit, kernel, net

from kerasreg import schedules
from kerasreg._pruning.timeline import Run
from kerasreg.callbacks import Pruning, SparsityLogger

BOTH_ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["pruning first", "pruning last"])
RAMP = schedules.Polynomial(0.75, begin_step=2, end_step=14, frequency=2)


def pruning(schedule=RAMP, **kwargs):
    return Pruning(schedule, include="hidden/kernel", **kwargs)


def saved_kernel(path):
    return kernel(keras.models.load_model(path))


@BOTH_ORDERS
def test_every_checkpoint_has_the_zeros(tmp_path, order):
    path, watch = tmp_path / "{epoch}-{batch}.keras", Watch()
    callbacks = [pruning(), keras.callbacks.ModelCheckpoint(path, save_freq=1)]
    fit(net(optimizers.Adam(0.01)), [*callbacks[::order], watch])
    found = [
        saved_kernel(tmp_path / f"{epoch}-{batch}.keras")
        for epoch in range(1, 5)
        for batch in range(1, 5)
    ]
    timeline = RAMP.timeline(Run())
    for step, (saved, seen) in enumerate(zip(found, watch.batches, strict=True), start=1):
        np.testing.assert_array_equal(saved, seen)
        due = timeline.last_due(step)
        expected = 0 if due is None else timeline.sparsity(due)
        assert (saved == 0).sum() == np.floor(48 * expected + 0.5)


def test_checkpoints_open_in_stock_keras_with_the_optimizer(tmp_path):
    path = tmp_path / "model.keras"
    model = net(optimizers.Adam(0.01))
    fit(model, [pruning(regrow="gradient"), keras.callbacks.ModelCheckpoint(path)])
    script = f"""
import sys, warnings
warnings.simplefilter("error", UserWarning)
import keras, numpy
model = keras.models.load_model({str(path)!r})
print(int(model.optimizer.iterations), len(model.optimizer.variables), "kerasreg" in sys.modules)
print(int(numpy.sum(numpy.array(keras.ops.convert_to_numpy(model.weights[0])) == 0)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    # 4 epochs of 4 batches; iterations, learning rate, and two moments of 4 variables.
    assert done.stdout.split() == ["16", "10", "False", "36"], done.stderr


SETTINGS = {
    "magnitude": {},
    "taylor": {"score": "taylor"},
    "movement": {"score": "movement"},
    "regrown": {"regrow": "gradient"},
    "regrown at random": {"regrow": "random"},
    "global": {"scope": "global"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_fit_ends_like_an_uninterrupted_one(tmp_path, name):
    """Whatever the order of the callbacks."""

    def callbacks(folder, order=1):
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder)
        return [pruning(**SETTINGS[name]), backup][::order]

    unbroken = net(optimizers.Adam(0.01))
    fit(unbroken, callbacks("unbroken"))
    # All four once; each kind of pruning in both orders and in both epochs.
    cases = [(1, 1), (3, -1)] if name != "magnitude" else itertools.product((1, 3), (1, -1))
    for killed_in, order in cases:
        folder = f"killed in {killed_in}, order {order}"
        killed = net(optimizers.Adam(0.01))
        with pytest.raises(KeyboardInterrupt):
            fit(killed, [*callbacks(folder, order), Interrupt(killed_in)])
        resumed, watch = net(optimizers.Adam(0.01), seed=1), Watch()
        fit(resumed, [*callbacks(folder, order), watch])
        assert len(watch.epochs) == 4 - killed_in, folder
        for now, then in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
            np.testing.assert_array_equal(now, then, err_msg=folder)
        assert (kernel(resumed) == 0).sum() == 36, folder


def test_a_fit_killed_between_two_epochs_keeps_its_zeros(tmp_path):
    """The backup is from the middle of the epoch, which begins again."""

    def callbacks():
        return [pruning(), keras.callbacks.BackupAndRestore(tmp_path, save_freq=3)]

    killed = net(optimizers.Adam(0.01))
    with pytest.raises(KeyboardInterrupt):
        fit(killed, [*callbacks(), Interrupt(2)])
    resumed, watch = net(optimizers.Adam(0.01), seed=1), Watch()
    fit(resumed, [*callbacks(), watch])
    # Saved after 9 steps: what was pruned after 8 of them is dead.
    zeros = int(np.floor(48 * RAMP.timeline(Run()).sparsity(8) + 0.5))
    assert (watch.batches[0] == 0).sum() >= zeros
    for before, after in zip(watch.batches, watch.batches[1:], strict=False):
        assert (after[before == 0] == 0).all()
    assert (kernel(resumed) == 0).sum() == 36


def test_a_fit_continues_with_the_zeros_of_a_stock_checkpoint(tmp_path):
    path, watch = tmp_path / "model.keras", Watch()
    model = net(optimizers.Adam(0.01))
    fit(model, [pruning(), keras.callbacks.ModelCheckpoint(path)], epochs=4)
    loaded = keras.models.load_model(path)
    dead = kernel(loaded) == 0
    assert dead.sum() == 36
    fit(loaded, [pruning(), watch], epochs=6, initial_epoch=4)
    assert all((w[dead] == 0).all() and (w == 0).sum() == 36 for w in watch.batches)


@BOTH_ORDERS
def test_the_best_weights_of_an_earlier_epoch_keep_their_zeros(order):
    best = keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=9, restore_best_weights=True, start_from_epoch=0
    )
    model, watch = net(optimizers.Adam(0.01)), Watch()
    with pytest.warns(UserWarning, match="They are left unchanged"):
        fit(model, [*[pruning(), best][::order], watch])
    assert best.best_epoch < 3
    np.testing.assert_array_equal(kernel(model), watch.epochs[best.best_epoch])


@BOTH_ORDERS
def test_swapped_averages_have_the_zeros(order):
    model = net(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9))
    watch, swap = Watch(), keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    fit(model, [*[pruning(), swap][::order], watch])
    assert (kernel(model) == 0).sum() == 36
    assert all((b[a == 0] == 0).all() for a, b in zip(watch.epochs, watch.epochs[1:], strict=False))


@BOTH_ORDERS
def test_logged_numbers_have_the_zeros(tmp_path, order):
    logged = []
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logged.append(logs["sparsity"])
    )
    callbacks = [pruning(schedules.OneShot(0.75, 8)), SparsityLogger(tmp_path)][::order]
    fit(net(), [*callbacks, log])
    assert logged == [0, 0.75, 0.75, 0.75]
