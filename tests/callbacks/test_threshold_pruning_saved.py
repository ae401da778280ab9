"""Zeros in what other callbacks save, restore and average; and what is refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from watched import BACKEND, PLAIN, Interrupt, Watch, fit, kernel, net, without_updates

from kerasreg.callbacks import SparsityLogger, ThresholdPruning

BOTH_ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["pruning first", "pruning last"])


def hold(threshold=0.3, at=1, **kwargs):
    return ThresholdPruning(threshold, at=at, hold=True, **kwargs)


def saved_kernel(path):
    return kernel(keras.models.load_model(path))


@BOTH_ORDERS
def test_checkpoints_of_epochs_have_the_zeros(tmp_path, order):
    callbacks = [hold(), keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")]
    fit(net(), callbacks[::order])
    found = [(saved_kernel(tmp_path / f"{epoch}.keras") == 0).any() for epoch in (1, 2, 3, 4)]
    assert found == [False, True, True, True]


def test_checkpoints_of_batches_open_in_stock_keras_with_the_optimizer(tmp_path):
    model = net(optimizers.Adam(0.01))
    path = tmp_path / "{epoch}-{batch}.keras"
    fit(model, [hold(), keras.callbacks.ModelCheckpoint(path, save_freq=1)], epochs=3)
    script = f"""
import sys, warnings
warnings.simplefilter("error", UserWarning)
import keras, numpy
model = keras.models.load_model({str(tmp_path / "3-3.keras")!r})
moments = model.optimizer.variables[2:]
print(int(model.optimizer.iterations), len(moments), "kerasreg" in sys.modules)
print(all(numpy.any(keras.ops.convert_to_numpy(moment) != 0) for moment in moments))
print(int(keras.ops.sum(keras.ops.cast(model.weights[0] == 0, "int32"))))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    zeros = int(np.sum(kernel(model) == 0))
    # Two epochs of 4 batches, and 3 batches.
    assert done.stdout.split() == ["11", "8", "False", "True", str(zeros)], done.stderr


@BOTH_ORDERS
@pytest.mark.parametrize("killed_in", [2, 3])
def test_a_resumed_fit_keeps_the_zeros(tmp_path, order, killed_in):
    def callbacks():
        return [hold(), keras.callbacks.BackupAndRestore(tmp_path)][::order]

    model = net(optimizers.Adam(0.01))
    with pytest.raises(KeyboardInterrupt):
        fit(model, [*callbacks(), Interrupt(killed_in)])
    dead = kernel(model) == 0
    resumed, watch = net(optimizers.Adam(0.01), seed=1), Watch()
    fit(resumed, [*callbacks(), watch])
    assert dead.any()
    assert len(watch.epochs) == 4 - killed_in
    assert all((w[dead] == 0).all() for w in watch.batches)
    assert (kernel(resumed)[dead] == 0).all()


def test_a_resumed_fit_without_a_backup_holds_the_zeros_of_the_weights():
    model, watch = net(optimizers.Adam(0.01)), Watch()
    fit(model, [ThresholdPruning(0.3, at=1)], epochs=2)
    dead = kernel(model) == 0
    fit(model, [hold(), watch], initial_epoch=2)
    assert dead.any()
    assert all((w[dead] == 0).all() for w in watch.batches)


@BOTH_ORDERS
def test_restored_weights_from_before_the_pruning_are_left_unchanged(order):
    best = keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=9, restore_best_weights=True, start_from_epoch=0
    )
    pruning, watch = hold(at=2), Watch()
    model = net(optimizers.Adam(0.01))
    with pytest.warns(UserWarning, match="They are left unchanged"):
        fit(model, [*[pruning, best][::order], watch])
    assert best.best_epoch < 2
    np.testing.assert_array_equal(kernel(model), watch.epochs[best.best_epoch])


@BOTH_ORDERS
def test_swapped_averages_have_the_zeros(order):
    model = net(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9))
    watch, swap = Watch(), keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    fit(model, [*[hold(), swap][::order], watch])
    dead = watch.epochs[1] == 0
    assert dead.any()
    assert all((w[dead] == 0).all() for w in [*watch.epochs[1:], kernel(model)])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="`tf.distribute` needs the TensorFlow backend")
def test_zeros_hold_and_are_logged_with_a_distribution_strategy(tmp_path):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = net(optimizers.Adam(0.01))
    watch = Watch()
    history = fit(model, [hold(), SparsityLogger(tmp_path), watch])
    dead = watch.epochs[1] == 0
    assert dead.any()
    assert all((w[dead] == 0).all() for w in watch.batches[8:])
    assert history.history["sparsity"][2] > 0


def test_an_epoch_that_early_stopping_prevented_is_warned_about():
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=0, start_from_epoch=0)
    with pytest.warns(RuntimeWarning, match=r"did not prune at \[7\]: the fit ended after epoch"):
        fit(net(), [ThresholdPruning(at=[0, 7]), stop], epochs=9)


def test_an_epoch_after_the_fit_raises():
    with pytest.raises(ValueError, match=r"epochs of this fit, 0 to 3.*Received: \[4, 9\]"):
        fit(net(), [ThresholdPruning(at=[1, 4, 9])])


def test_hold_at_the_end_raises():
    with pytest.raises(ValueError, match=r"`hold=True`.*such as `at=5`"):
        ThresholdPruning(hold=True)


def test_an_unbuilt_model_raises_unless_fit_builds_it():
    model = keras.Sequential([layers.Dense(1, name="hidden")])
    model.compile("sgd", "mse", **PLAIN)
    if BACKEND == "tensorflow":
        with pytest.raises(ValueError, match="needs a built model"):
            fit(model, [ThresholdPruning()])
    else:
        fit(model, [ThresholdPruning(1e9)])
        assert not kernel(model).any()


def test_a_rejected_fit_leaves_the_model_unchanged():
    model = net()
    with pytest.raises(ValueError, match="select no variable"):
        fit(model, [hold(include="conv")])
    assert "kerasreg" not in model.optimizer.__dict__


def test_nan_weights_raise():
    model = net()
    model.get_layer("hidden").kernel.assign(np.full((6, 8), np.nan))
    with pytest.raises(ValueError, match=r"NaN or infinite weights in \['net/hidden/kernel'"):
        fit(model, [ThresholdPruning(at=0)])


def test_hold_without_the_optimizer_of_compile_raises():
    with pytest.raises(RuntimeError, match="applies the optimizer of `compile`"):
        fit(without_updates(), [hold()])
