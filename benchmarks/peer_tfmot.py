"""Compare `kerasreg.callbacks.Pruning` with tensorflow-model-optimization 0.8.1 under tf-keras.

    make benchmark-tfmot                                # everything, in a separate environment
    python benchmarks/peer_tfmot.py --speed             # train step time, memory of the masks
    python benchmarks/peer_tfmot.py --accuracy          # at 50, 80, 90 and 95 % zeros
    python benchmarks/peer_tfmot.py --accuracy --net cnn

Both run in one process: with `TF_USE_LEGACY_KERAS`, tfmot wraps the layers of tf-keras, and `keras`
stays Keras 3. They get the same initial weights, batches and schedule. They are measured in turns,
so that other load on the machine affects all of them, and a time is a ratio to the dense train step
of the same library in the same round.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.append(str(Path(__file__).parents[1] / "examples"))

import datasets
import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from rich.console import Console
from rich.table import Table

import kerasreg

BATCH = 128
ROUNDS, STEPS = 5, 100
#: Steps between updates of the masks: for the times, and for the accuracy.
FREQUENCIES, FREQUENCY = (100, 10), 10
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
#: Training images and epochs of the accuracies.
TRAINING = {"mlp": (15_000, 3), "cnn": (5_000, 4)}


# Nets, in both libraries -------------------------------------------------------------------------


def mlp(layers, pixels):
    """784-1024-1024-10."""
    return [
        layers.Dense(1024, activation="relu"),
        layers.Dense(1024, activation="relu"),
        layers.Dense(10),
    ]


def cnn(layers, pixels):
    """Two convolutions and two dense layers."""
    side = round(pixels**0.5)
    return [
        layers.Reshape((side, side, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu", padding="same"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10),
    ]


def build(net, library, pixels, seed):
    """A network with initial weights that depend on the seed only."""
    model = library.Sequential([library.Input((pixels,)), *net(library.layers, pixels)])
    rng = np.random.default_rng(seed)
    model.set_weights([initial(value.shape, rng) for value in model.get_weights()])
    return model


def initial(shape, rng):
    """Glorot's uniform weights, or the zeros of a bias."""
    if len(shape) < 2:
        return np.zeros(shape)
    fans = np.prod(shape[:-2]) * (shape[-2] + shape[-1])
    return rng.uniform(-1, 1, shape) * np.sqrt(6 / fans)


def kernels(model):
    """Weights but not biases, as one vector."""
    return np.concatenate([value.ravel() for value in model.get_weights() if value.ndim > 1])


# Toolkits ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toolkit:
    """A library for pruning.

    Attributes:
        name: the printed name.
        package: Keras 3 or tf-keras.
        prune: maps a model and the arguments of a schedule to a model and its callbacks.
        strip: maps the trained model to one without wrappers.
    """

    name: str
    package: ModuleType
    prune: Callable
    strip: Callable


def with_kerasreg(model, schedule):
    """One callback."""
    return model, [kerasreg.callbacks.Pruning(kerasreg.schedules.Polynomial(**schedule))]


def with_tfmot(model, schedule):
    """A model with wrapped layers, and a callback."""
    # In step 11 of tfmot, the weights have had 10 updates.
    later = {name: schedule[name] + 1 for name in ("begin_step", "end_step")}
    schedule = tfmot.sparsity.keras.PolynomialDecay(**schedule | later)
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
    return wrapped, [tfmot.sparsity.keras.UpdatePruningStep()]


TOOLKITS = (
    Toolkit("kerasreg", keras, with_kerasreg, lambda model: model),
    Toolkit("tfmot", tf_keras, with_tfmot, tfmot.sparsity.keras.strip_pruning),
)


def prepare(toolkit, model, schedule, learning_rate=0.001, jit_compile=False):
    """The compiled model and its callbacks; dense without a schedule."""
    model, callbacks = toolkit.prune(model, schedule) if schedule else (model, [])
    optimizer = toolkit.package.optimizers.Adam(learning_rate)
    loss = toolkit.package.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=jit_compile)
    return model, callbacks


# Speed and memory -------------------------------------------------------------------------------


class Clock(keras.callbacks.Callback, tf_keras.callbacks.Callback):
    """Seconds of all steps but the first one, which compiles."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


class Variables(keras.callbacks.Callback, tf_keras.callbacks.Callback):
    """Bytes of all variables of the process when an epoch ends."""

    def on_epoch_end(self, epoch, logs=None):
        self.bytes = live_bytes()


def live_bytes():
    """Bytes of all variables of the process."""
    gc.collect()
    variables = [each for each in gc.get_objects() if issubclass(type(each), tf.Variable)]
    return sum(each.shape.num_elements() * each.dtype.size for each in variables)


def contenders():
    """`{name: (toolkit, schedule)}`; masks are updated in every round."""
    found = {}
    for toolkit in TOOLKITS:
        found[dense(toolkit)] = toolkit, None
        # In every fit, the schedule of kerasreg starts again, and that of tfmot continues.
        end = STEPS if toolkit.package is keras else ROUNDS * (STEPS + 1)
        for frequency in FREQUENCIES:
            found[f"{toolkit.name}, every {frequency} steps"] = (
                toolkit,
                {
                    "initial_sparsity": 0.5,
                    "final_sparsity": 0.9,
                    "begin_step": 0,
                    "end_step": end,
                    "frequency": frequency,
                },
            )
    return found


def dense(toolkit):
    """The name of the network that is not pruned."""
    return f"{toolkit.package.__name__} {toolkit.package.__version__}, dense"


def noise(pixels):
    """Random images and classes, for one step more than is measured."""
    rng, images = np.random.default_rng(0), (STEPS + 1) * BATCH
    return rng.normal(size=(images, pixels)).astype("float32"), rng.integers(0, 10, images)


def speed(net, pixels, jit_compile):
    """Measure all contenders in turns and print the ratios."""
    x, y = noise(pixels)
    prepared = {
        name: prepare(
            toolkit, build(net, toolkit.package, pixels, 0), schedule, jit_compile=jit_compile
        )
        for name, (toolkit, schedule) in contenders().items()
    }
    seconds = {name: [] for name in prepared}
    for _ in range(ROUNDS):
        for name, (model, callbacks) in prepared.items():
            clock = Clock()
            model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[*callbacks, clock])
            seconds[name].append(clock.seconds)
    rows = []
    for name, (toolkit, _) in contenders().items():
        ratios = np.divide(seconds[name], seconds[dense(toolkit)])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        step = 1000 * np.median(seconds[name]) / STEPS
        rows.append((name, f"{step:.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}"))
    show(
        f"{net.__name__}, {ROUNDS} rounds of {STEPS} steps in turn, jit_compile={jit_compile}",
        ["train step", "ms", "ratio to own dense", "quartiles of the ratio"],
        rows,
    )


def memory(net, pixels):
    """Print the bytes of the variables that pruning adds."""
    used = {name: bytes_used(net, pixels, *each) for name, each in contenders().items()}
    pruned = kernels(build(net, keras, pixels, 0)).size
    rows = []
    for name, (toolkit, _) in contenders().items():
        more = used[name] - used[dense(toolkit)]
        rows.append((name, f"{used[name]:,}", f"{more:,}", f"{more / pruned:.2f}"))
    show(
        f"{net.__name__}, variables of model and optimizer",
        ["", "bytes", "more than dense", "per pruned weight"],
        rows,
    )


def bytes_used(net, pixels, toolkit, schedule):
    """Bytes of all variables during training."""
    toolkit.package.backend.clear_session()
    before, variables = live_bytes(), Variables()
    model, callbacks = prepare(toolkit, build(net, toolkit.package, pixels, 0), schedule)
    x, y = noise(pixels)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[*callbacks, variables])
    return variables.bytes - before


# Accuracy ---------------------------------------------------------------------------------------


def shuffled(data, images, epochs, seed):
    """Images and classes of all epochs, in an order that depends on the seed."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(data.x_train))[:images]
    order = np.concatenate([rng.permutation(chosen) for _ in range(epochs)])
    return data.x_train[order], data.y_train[order]


def gradual(sparsity, steps):
    """A schedule from 1/8 to 5/8 of the training, with the last update at its end."""
    changes = steps // FREQUENCY
    return {
        "initial_sparsity": 0.0,
        "final_sparsity": sparsity,
        "begin_step": changes // 8 * FREQUENCY,
        "end_step": 5 * changes // 8 * FREQUENCY,
        "frequency": FREQUENCY,
    }


def accuracy(net, data, seeds):
    """Train both to the same sparsities and print the accuracies."""
    images, epochs = TRAINING[net.__name__]
    images = min(images, len(data.x_train))
    results = {}
    for seed in range(seeds):
        x, y = shuffled(data, images, epochs, seed)
        steps = len(x) // BATCH
        for sparsity in (0.0, *SPARSITIES):
            schedule = gradual(sparsity, steps) if sparsity else None
            for toolkit in TOOLKITS:
                # A small learning rate at the end reduces the noise of the test accuracy.
                schedules = toolkit.package.optimizers.schedules
                decay = schedules.PiecewiseConstantDecay([3 * steps // 4], [1e-3, 1e-4])
                model = build(net, toolkit.package, x.shape[1], seed)
                model, callbacks = prepare(toolkit, model, schedule, decay)
                model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
                test = model.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
                zeros = np.mean(kernels(toolkit.strip(model)) == 0)
                results.setdefault((sparsity, toolkit.name), []).append((test["accuracy"], zeros))
                toolkit.package.backend.clear_session()
    rows = []
    for (sparsity, name), runs in results.items():
        tests, zeros = 100 * np.transpose(runs)
        rows.append(
            (
                f"{sparsity:.0%}, {name}",
                f"{min(zeros):.3f} to {max(zeros):.3f}",
                ", ".join(f"{test:.2f}" for test in tests),
                f"{np.mean(tests):.2f}",
            )
        )
    show(
        f"{net.__name__}, {data.title}, {images:,} images, {epochs} epochs",
        ["target sparsity", "sparsity, %", "test accuracy by seed, %", "mean"],
        rows,
    )


# Command line -----------------------------------------------------------------------------------


def show(title, columns, rows):
    """Print a table."""
    table = Table(*columns, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def load_data():
    """Fashion-MNIST if Debian's package or `FASHION_MNIST` has it, otherwise digits."""
    has_fashion = datasets.DEBIAN.is_dir() or "FASHION_MNIST" in os.environ
    return datasets.load("fashion_mnist" if has_fashion else "digits")


def main():
    """Run the chosen measurements, or all of them."""
    parser = argparse.ArgumentParser(
        description="Compare pruning with tensorflow-model-optimization."
    )
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--net", choices=["mlp", "cnn"], nargs="*", default=["mlp", "cnn"])
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    everything = not (chosen.speed or chosen.accuracy)
    data = load_data()
    for net in ({"mlp": mlp, "cnn": cnn}[name] for name in chosen.net):
        if chosen.speed or everything:
            for jit_compile in (False, True):
                speed(net, data.x_train.shape[1], jit_compile)
            memory(net, data.x_train.shape[1])
        if chosen.accuracy or everything:
            accuracy(net, data, chosen.seeds)


if __name__ == "__main__":
    main()
