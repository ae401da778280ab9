"""The event files hold what NumPy computes from checkpoints of the same steps."""

import keras
import needs
import numpy as np
import pytest
from event_files import by_numpy, event_files, read, stock_tags
from keras import optimizers
from tensorboard.backend.event_processing import event_multiplexer
from watched import PLAIN, Interrupt, fit, kernel, net

from kerasreg._report.logged import METRICS
from kerasreg.callbacks import ProximalGradient, SparsityLogger, ThresholdPruning

FACTOR = 0.1
KEYS = ("sparsity", "sparsity_of_all", "penalty", "dead_units")


def logger_of_all(log_dir=None, **kwargs):
    """A logger of every number of every weight."""
    return SparsityLogger(log_dir, include="", metrics=METRICS, **kwargs)


def sparse(seed=0, **kwargs):
    """A model that becomes sparser with every batch."""
    regularizer = keras.regularizers.L1(FACTOR)
    return net(optimizers.SGD(0.2, 0.5), seed, kernel_regularizer=regularizer, **kwargs)


def weights_of(path):
    """`{path without the model's name: array}` of a checkpoint."""
    model = sparse()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    return {
        variable.path.removeprefix("net/"): np.array(keras.ops.convert_to_numpy(variable))
        for variable in model.weights
    }


def assert_numpys(run_dir, checkpoints):
    """Every number of `{step: checkpoint}` is in the event file, and no other number."""
    found = {tag: dict(values) for tag, values in read(run_dir).items()}
    for step, checkpoint in checkpoints.items():
        weights = weights_of(checkpoint)
        expected = by_numpy(weights)
        penalty = FACTOR * np.sum(np.abs(weights["hidden/kernel"].astype("float64")))
        expected |= {"penalty/hidden/kernel": penalty, "total/penalty": penalty}
        assert found.keys() == expected.keys()
        for tag, number in expected.items():
            np.testing.assert_allclose(found[tag][step], np.float32(number), 1e-6, err_msg=tag)
    assert all(set(values) == {0, *checkpoints} for values in found.values())
    return found


def checkpoint(folder, **kwargs):
    path = folder / "{epoch}-{batch}.weights.h5" if kwargs else folder / "{epoch}.weights.h5"
    return keras.callbacks.ModelCheckpoint(path, save_weights_only=True, **kwargs)


def test_numbers_of_every_epoch_match_checkpoints(tmp_path):
    logger = logger_of_all(tmp_path)
    fit(sparse(), [ProximalGradient(), logger, checkpoint(tmp_path)])
    steps = {4 * epoch: tmp_path / f"{epoch}.weights.h5" for epoch in (1, 2, 3, 4)}
    found = assert_numpys(tmp_path / "train", steps)
    sparsity = list(found["sparsity/hidden/kernel"].values())
    assert 0 == sparsity[0] < sparsity[1] < sparsity[4]
    assert found["total/dead_units"][16] > 0


def test_numbers_of_every_batch_match_checkpoints(tmp_path):
    logger = logger_of_all(tmp_path, update_freq="batch")
    fit(sparse(), [ProximalGradient(), checkpoint(tmp_path, save_freq=1), logger], epochs=2)
    steps = {4 * e + b: tmp_path / f"{e + 1}-{b}.weights.h5" for e in (0, 1) for b in (1, 2, 3, 4)}
    assert_numpys(tmp_path / "train", steps)


@needs.TENSORFLOW
@pytest.mark.parametrize("order", [1, -1], ids=["stock first", "stock last"])
@pytest.mark.parametrize("update_freq", ["epoch", 3])
def test_it_shares_the_event_file_of_tensorboard(tmp_path, order, update_freq):
    stock = keras.callbacks.TensorBoard(tmp_path, update_freq=update_freq)
    fit(sparse(), [*[stock, logger_of_all()][::order], checkpoint(tmp_path)], epochs=2)
    steps = {4 * epoch: tmp_path / f"{epoch}.weights.h5" for epoch in (1, 2)}
    assert_numpys(tmp_path / "train", steps)
    assert len(event_files(tmp_path / "train")) == 1


@needs.TENSORFLOW
@pytest.mark.parametrize("order", [1, -1], ids=["stock first", "stock last"])
def test_tensorboard_logs_the_totals(tmp_path, order):
    stock = keras.callbacks.TensorBoard(tmp_path)
    fit(sparse(), [stock, SparsityLogger()][::order], epochs=1)
    assert {"epoch_loss", *(f"epoch_{key}" for key in KEYS)} <= set(stock_tags(tmp_path / "train"))


@needs.TENSORFLOW
def test_it_may_use_another_folder_than_tensorboard(tmp_path):
    stock = keras.callbacks.TensorBoard(tmp_path / "stock")
    fit(sparse(), [stock, SparsityLogger(tmp_path / "own")], epochs=1)
    assert read(tmp_path / "stock" / "train") == {}
    assert "total/sparsity" in read(tmp_path / "own" / "train")


def test_the_event_multiplexer_reads_its_files(tmp_path):
    fit(sparse(), [SparsityLogger(tmp_path)], epochs=1)
    runs = event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    values = [event.value for event in runs.Scalars("train", "sparsity/hidden/kernel")]
    assert values == [value for _, value in read(tmp_path / "train")["sparsity/hidden/kernel"]]


def steps(run_dir, tag="total/sparsity"):
    # Files of one second are read in any order.
    return sorted(step for step, _ in read(run_dir)[tag])


def test_an_int_update_freq_also_writes_at_epoch_ends(tmp_path):
    fit(net(), [SparsityLogger(tmp_path, update_freq=3)], epochs=3)
    assert steps(tmp_path / "train") == [0, 3, 4, 6, 8, 9, 12]


@needs.SEVERAL_STEPS
def test_steps_are_right_with_steps_per_execution(tmp_path):
    model = net()
    model.compile("sgd", "mse", steps_per_execution=2, **PLAIN)
    fit(model, [SparsityLogger(tmp_path, update_freq=3)], epochs=3)
    assert steps(tmp_path / "train") == [0, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])
def test_the_last_epoch_is_not_written_twice(tmp_path, order):
    fit(sparse(), [SparsityLogger(tmp_path), ProximalGradient()][::order])
    assert steps(tmp_path / "train") == [0, 4, 8, 12, 16]


def test_accumulated_gradients_count_updates(tmp_path):
    model = net(optimizers.SGD(0.1, gradient_accumulation_steps=2))
    fit(model, [SparsityLogger(tmp_path, update_freq=1)], epochs=2)
    assert steps(tmp_path / "train") == [0, 1, 2, 3, 4]


def test_a_second_fit_continues_the_steps(tmp_path):
    model, logger = net(), SparsityLogger(tmp_path)
    for _ in range(2):
        fit(model, [logger], epochs=1)
    assert steps(tmp_path / "train") == [0, 4, 4, 8]


@pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])
def test_a_resumed_fit_begins_with_the_restored_weights(tmp_path, order):
    def callbacks(name):
        logger = SparsityLogger(tmp_path / name, update_freq=2)
        return [logger, keras.callbacks.BackupAndRestore(tmp_path / "backup")][::order]

    with pytest.raises(KeyboardInterrupt):
        fit(sparse(), [*callbacks("killed"), Interrupt(epoch=1)])
    fit(sparse(seed=1), callbacks("resumed"))
    killed = dict(read(tmp_path / "killed" / "train")["penalty/hidden/kernel"])
    resumed = read(tmp_path / "resumed" / "train")["penalty/hidden/kernel"]
    assert [step for step, _ in resumed] == [4, 6, 8, 10, 12, 14, 16]
    assert resumed[0][1] == killed[4]


def test_a_fit_after_an_interrupted_one_continues_the_steps(tmp_path):
    model, logger = net(), SparsityLogger(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [logger, Interrupt(epoch=1)])
    fit(model, [logger], epochs=1)
    assert steps(tmp_path / "train") == [0, 4, 6, 10]


@pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])
@pytest.mark.parametrize(
    "stock", [[], pytest.param([keras.callbacks.TensorBoard], marks=needs.TENSORFLOW)]
)
def test_the_final_state_is_that_of_the_model(tmp_path, order, stock):
    model = sparse()
    best = keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=9, restore_best_weights=True, start_from_epoch=0
    )
    logger, pruning = logger_of_all(tmp_path), ThresholdPruning(0.2)
    fit(model, [*[logger, pruning, best][::order], *(each(tmp_path) for each in stock)])
    found = read(tmp_path / "train")["zeros/hidden/kernel"]
    assert best.best_epoch < 3
    assert found[-1] == (16, np.sum(kernel(model) == 0))
    assert len(event_files(tmp_path / "train")) == 1


@pytest.mark.parametrize("order", [1, -1], ids=["logger first", "logger last"])
def test_pruned_weights_are_logged_in_their_epoch(tmp_path, order):
    pruning, logger = ThresholdPruning(0.3, at=0), SparsityLogger(tmp_path, metrics=["zeros"])
    history = fit(net(), [pruning, logger][::order], epochs=1)
    zeros = sum(pruning.pruned[0].values())
    assert read(tmp_path / "train")["total/zeros"][-1] == (4, zeros)
    # Two kernels of 48 and 8 weights, and 9 biases.
    assert history.history["sparsity"] == [zeros / 56]
    assert history.history["sparsity_of_all"] == [pytest.approx(zeros / 65)]
