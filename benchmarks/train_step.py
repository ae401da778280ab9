"""Measure the train step with a penalty, as a ratio to the same network without one.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --jit-compile --only L1 GroupLasso
    KERAS_BACKEND=jax python benchmarks/train_step.py

784-1024-1024-10, Adam, batch 128, random data. The variants are measured in turns in one process,
so that other load on the machine affects all of them; the medians over the rounds are printed.
Only "Keras' L1" and "GroupLasso, gradient" train without `ProximalGradient`.
"""

import argparse
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg

ROUNDS, STEPS, BATCH = 9, 30, 128
PROXIMAL = kerasreg.callbacks.ProximalGradient

R = kerasreg.regularizers
VARIANTS = {
    "no penalty": (None, None),
    "Keras' L1": (lambda: keras.regularizers.L1(1e-4), None),
    "GroupLasso, gradient": (lambda: R.GroupLasso(1e-4), None),
    "L1": (lambda: R.L1(1e-4), PROXIMAL),
    "L1L2": (lambda: R.L1L2(1e-4, 1e-4), PROXIMAL),
    "MCP": (lambda: R.MCP(1e-4), PROXIMAL),
    "Lp": (lambda: R.Lp(1e-4), PROXIMAL),
    "LogSum": (lambda: R.LogSum(1e-4), PROXIMAL),
    "TransformedL1": (lambda: R.TransformedL1(1e-4), PROXIMAL),
    "GroupLasso": (lambda: R.GroupLasso(1e-4), PROXIMAL),
    "SparseGroupLasso": (lambda: R.SparseGroupLasso(1e-4), PROXIMAL),
    "GroupMCP": (lambda: R.GroupMCP(1e-4), PROXIMAL),
    "LInfinity1": (lambda: R.LInfinity1(1e-4), PROXIMAL),
    "ExclusiveLasso": (lambda: R.ExclusiveLasso(1e-6), PROXIMAL),
}


class Clock(keras.callbacks.Callback):
    """Seconds of all steps but the first one, which compiles."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def network(regularizer, jit_compile):
    """The network, with a penalty on two of its kernels."""
    penalty = regularizer() if regularizer else None
    layers = [
        keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty)
        for units in (1024, 1024)
    ]
    model = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=jit_compile)
    return model


def main():
    """Measure the variants in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jit-compile", action="store_true", help="compile the step with XLA")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    jit_compile = arguments.jit_compile or keras.backend.backend() == "jax"
    variants = {name: VARIANTS[name] for name in ["no penalty", *arguments.only]}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 784)).astype("float32")
    y = rng.integers(0, 10, STEPS * BATCH)
    models = {name: network(each, jit_compile) for name, (each, _) in variants.items()}
    seconds = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, (_, callback) in variants.items():
            clock = Clock()
            callbacks = [clock, *([callback()] if callback else [])]
            models[name].fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)
            seconds[name].append(clock.seconds)
    table = Table(
        title=f"One train step on {keras.backend.backend()}, {ROUNDS} rounds of {STEPS} steps"
    )
    for column in ("penalty", "ms per step", "ratio", "quartiles of the ratio"):
        table.add_column(column, justify="left" if column == "penalty" else "right")
    base = seconds["no penalty"]
    for name, times in seconds.items():
        ratios = [own / other for own, other in zip(times, base, strict=True)]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        step = 1000 * np.median(times) / (STEPS - 1)
        table.add_row(name, f"{step:.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
