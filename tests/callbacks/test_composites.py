"""Callbacks of ours inside of callbacks of users: they find each other, and the order holds."""

import keras
import numpy as np
import pytest

import kerasreg
from kerasreg._callbacks.composites import all_of, members
from kerasreg.callbacks import Pruning, SparsityLogger, ThresholdPruning

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = X[:, :1]


class Listed(keras.callbacks.Callback):
    """Calls those of a list, in its order."""

    def __init__(self, *callbacks):
        super().__init__()
        self.parts = list(callbacks)


class Named(keras.callbacks.Callback):
    """Calls those in its attributes, in an order of its own."""

    def __init__(self, *callbacks):
        super().__init__()
        self.first, self.table = callbacks[0], {"others": None}
        self.table = dict(enumerate(callbacks[1:]))

    @property
    def parts(self):
        return [self.first, *self.table.values()]


def _forward(name):
    def call(self, *args, **kwargs):
        for each in self.parts:
            getattr(each, name)(*args, **kwargs)

    return call


HOOKS = [name for name in dir(keras.callbacks.Callback) if name.startswith(("on_", "set_"))]
for cls in (Listed, Named):
    for name in HOOKS:
        setattr(cls, name, _forward(name))
    keep = cls.set_model

    def set_model(self, model, keep=keep):
        keras.callbacks.Callback.set_model(self, model)
        keep(self, model)

    cls.set_model = set_model


class Sees(keras.callbacks.Callback):
    """The zeros at the end of every epoch, and what was logged."""

    def __init__(self, monitor="loss"):
        super().__init__()
        self.monitor, self.zeros, self.logs = monitor, [], []

    def on_epoch_end(self, epoch, logs=None):
        kernel = keras.ops.convert_to_numpy(self.model.layers[0].kernel)
        self.zeros.append(int((kernel == 0).sum()))
        self.logs.append(dict(logs))


def fit(*callbacks, epochs=2):
    layer = keras.layers.Dense(4, name="first")
    model = keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(1, name="last")])
    model.compile("adam", "mse")
    history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=list(callbacks)).history
    assert len(history["loss"]) == epochs
    return model, history


def pruning():
    return ThresholdPruning(0.5, at=[0, 1], include="first/kernel")


COMPOSITES = {
    "list": lambda *parts: [Listed(*parts)],
    "outside": lambda first, *parts: [first, Listed(*parts)],
    "nested": lambda first, *parts: [Listed(first, Named(*parts))],
    "callback list": lambda *parts: [keras.callbacks.CallbackList(list(parts))],
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_pruning_runs_before_callbacks_that_read_weights(name):
    before, prunes = Sees(), pruning()
    model, _ = fit(*COMPOSITES[name](before, prunes))
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    assert before.zeros[-1] == (kernel == 0).sum() > 5


# A list of Keras inside of another gives its callbacks logs of their own.
@pytest.mark.parametrize("name", sorted(COMPOSITES.keys() - {"callback list"}))
def test_the_logger_runs_before_callbacks_that_read_its_logs(name, tmp_path):
    reads = Sees(monitor="sparsity")
    _, history = fit(*COMPOSITES[name](reads, SparsityLogger(tmp_path), pruning()))
    assert len(history["sparsity"]) == 2
    assert [logs["sparsity"] for logs in reads.logs] == history["sparsity"]


def test_pruning_at_the_end_runs_after_restored_weights():
    for around in COMPOSITES.values():
        stopping = keras.callbacks.EarlyStopping("loss", restore_best_weights=True, patience=9)
        prunes = ThresholdPruning(0.5, include="first/kernel")
        model, _ = fit(*around(prunes, stopping))
        kernel = np.abs(keras.ops.convert_to_numpy(model.layers[0].kernel))
        assert sum(prunes.pruned["end"].values()) == (kernel == 0).sum() > 5
        assert not ((kernel > 0) & (kernel < 0.5)).any()


def test_a_schedule_finds_coupled_groups_inside_a_composite():
    schedule = kerasreg.callbacks.PenaltySchedule(ramp_steps=2)
    lasso = kerasreg.callbacks.CoupledGroupLasso(0.01)
    _, history = fit(Listed(schedule, Named(lasso)), epochs=3)
    assert history["penalty_scale"] == [0.0, 0.5, 1.0]


def test_a_logger_finds_tensorboard_inside_a_composite(tmp_path):
    pytest.importorskip("tensorflow", reason="Keras' TensorBoard callback needs it")
    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    fit(Listed(board), SparsityLogger(), epochs=1)
    assert len(list((tmp_path / "train").iterdir())) == 1


def test_a_reference_to_another_callback_does_not_make_a_composite():
    prunes = Pruning(0.5, include="first/kernel")
    reads = Sees()
    reads.friend = prunes
    callbacks = [reads, prunes]
    assert members(reads, callbacks) == []
    assert all_of(callbacks) == callbacks
    fit(*callbacks, epochs=4)
    assert reads.zeros[-1] == 16
