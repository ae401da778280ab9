"""Measure the train step with a penalty, as a ratio to the same network without one.

784-1024-1024-10, Adam, batch 128, random data. The variants are measured in turns in one process,
so that other load on the machine affects all of them; the medians over the rounds are printed.
"""

import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg

ROUNDS, STEPS, BATCH = 9, 30, 128
PROXIMAL = kerasreg.callbacks.ProximalGradient

VARIANTS = {
    "no penalty": (None, None),
    "Keras' L1": (lambda: keras.regularizers.L1(1e-4), None),
    "L1, proximal": (lambda: kerasreg.regularizers.L1(1e-4), PROXIMAL),
    "L1L2, proximal": (lambda: kerasreg.regularizers.L1L2(1e-4, 1e-4), PROXIMAL),
    "GroupLasso, gradient": (lambda: kerasreg.regularizers.GroupLasso(1e-4), None),
    "GroupLasso, proximal": (lambda: kerasreg.regularizers.GroupLasso(1e-4), PROXIMAL),
}


class Clock(keras.callbacks.Callback):
    """Seconds of all steps but the first one, which compiles."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def network(regularizer):
    """The network, with a penalty on two of its kernels."""
    penalty = regularizer() if regularizer else None
    layers = [
        keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty)
        for units in (1024, 1024)
    ]
    model = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    return model


def main():
    """Measure all variants in turns and print the ratios."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 784)).astype("float32")
    y = rng.integers(0, 10, STEPS * BATCH)
    models = {name: network(regularizer) for name, (regularizer, _) in VARIANTS.items()}
    seconds = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, (_, callback) in VARIANTS.items():
            clock = Clock()
            callbacks = [clock, *([callback()] if callback else [])]
            models[name].fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)
            seconds[name].append(clock.seconds)
    table = Table(title=f"One train step, {ROUNDS} rounds of {STEPS} steps in turn")
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
