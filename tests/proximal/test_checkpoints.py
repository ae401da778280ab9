"""Checkpoints during a fit with `ProximalGradient`, and fits that are killed and resumed."""

import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np

BACKEND = keras.backend.backend()

SETUP = """
import os, sys
import keras
import numpy as np

SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.9)
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.02),
    "momentum": lambda: keras.optimizers.SGD(0.02, momentum=0.9),
    "schedule": lambda: keras.optimizers.SGD(SCHEDULE, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.002, momentum=0.9),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.02, momentum=0.9)
    ),
}

def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 20)).astype("float32")
    return x, (x[:, :3].sum(1, keepdims=True) + 0.1 * rng.normal(size=(128, 1))).astype("float32")

def model(optimizer):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([
        keras.Input((20,)),
        keras.layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L1(0.1)),
        keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L1(0.1)),
    ])
    net.compile(OPTIMIZERS[optimizer](), "mse")
    return net
"""


def run(code, **values):
    """Runs `code` after `SETUP` in a new process and returns the finished process."""
    code = SETUP + textwrap.dedent(code)
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {name.upper(): str(value) for name, value in values.items()}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )


def succeed(code, **values):
    process = run(code, **values)
    assert process.returncode == 0, process.stderr
    return process


def test_checkpoints_open_in_a_process_without_kerasreg(tmp_path):
    """They have the zeros and the state of the optimizer, and can be trained further."""
    namespace = {}
    exec(SETUP, namespace)
    from kerasreg.callbacks import ProximalGradient

    x, y = namespace["data"]()

    class Remember(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 4:
                weights = self.model.get_weights()
                assert sum(np.sum(w == 0) for w in weights) > 20
                np.savez(folder / "weights.npz", *weights)
                inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
                slots = [v.numpy() for v in inner.variables if "momentum" in v.path]
                np.savez(folder / "slots.npz", *slots)
                self.model.save(folder / "checkpoint.keras")

    for optimizer in ("adam", "momentum", "scaled"):
        folder = tmp_path / optimizer
        folder.mkdir()
        model = namespace["model"](optimizer)
        model.fit(x, y, epochs=5, verbose=0, callbacks=[ProximalGradient(), Remember()])
    succeed(
        """
        import warnings
        warnings.simplefilter("error", UserWarning)
        for name in ("adam", "momentum", "scaled"):
            print(name, file=sys.stderr)
            folder = os.environ["FOLDER"] + "/" + name
            net = keras.models.load_model(folder + "/checkpoint.keras")
            assert "kerasreg" not in sys.modules
            weights = np.load(folder + "/weights.npz")
            for own, saved in zip(net.get_weights(), weights.values(), strict=True):
                np.testing.assert_array_equal(own, saved)
            optimizer = getattr(net.optimizer, "inner_optimizer", net.optimizer)
            slots = np.load(folder + "/slots.npz")
            own = [np.array(v) for v in optimizer.variables if "momentum" in v.path]
            for slot, saved in zip(own, slots.values(), strict=True):
                np.testing.assert_array_equal(slot, saved)
            assert int(optimizer.iterations) == 20
            x, y = data()
            before = net.evaluate(x, y, verbose=0)
            after = net.fit(x, y, epochs=5, verbose=0).history["loss"][-1]
            assert after <= before
            assert int(optimizer.iterations) == 40
        """,
        folder=tmp_path,
    )


TRAIN = """
import kerasreg

CASES = [
    ("adam", "backup"), ("momentum", "proximal"), ("momentum", "backup"), ("schedule", "backup"),
    ("rmsprop", "backup"),
]

class Leave(keras.callbacks.Callback):
    # Interrupts the fit; in the last case, kills the process.
    def __init__(self, case):
        super().__init__()
        self.case = case

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 14:
            if self.case == CASES[-1]:
                os.kill(os.getpid(), 9)
            raise KeyboardInterrupt

class Drop(keras.callbacks.Callback):
    # Changes the learning rate in the middle of an epoch.
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 10:
            self.model.optimizer.learning_rate = 0.005

def fit(case, backup, *callbacks):
    optimizer, first = case
    x, y = data()
    net = model(optimizer)
    order = [kerasreg.callbacks.ProximalGradient()]
    if backup:
        folder = os.path.join(os.environ["FOLDER"], "-".join(case))
        order.append(keras.callbacks.BackupAndRestore(folder))
    if first == "backup":
        order.reverse()
    if optimizer == "momentum":
        order.append(Drop())
    order += callbacks
    net.fit(x, y, epochs=6, batch_size=32, shuffle=False, verbose=0, callbacks=order)
    return net.get_weights()
"""


def test_resumed_fits_end_with_the_weights_of_uninterrupted_ones(tmp_path):
    killed = run(
        TRAIN
        + """
for case in CASES:
    try:
        fit(case, True, Leave(case))
    except KeyboardInterrupt:
        pass
""",
        folder=tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(tmp_path.iterdir())) == 5
    succeed(
        TRAIN
        + """
for case in CASES:
    print(case, file=sys.stderr)
    resumed, unbroken = fit(case, True), fit(case, False)
    for own, expected in zip(resumed, unbroken, strict=True):
        np.testing.assert_array_equal(own, expected)
    assert sum(np.sum(weights == 0) for weights in resumed) > 10
""",
        folder=tmp_path,
    )
