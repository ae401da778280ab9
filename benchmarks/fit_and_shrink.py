"""Compares `kerasreg.fit_and_shrink` with `fit` and `shrink`: wall time and accuracy.

    python benchmarks/fit_and_shrink.py                        # scikit-learn's digits
    python benchmarks/fit_and_shrink.py --data fashion_mnist   # hours on two cores
    python benchmarks/fit_and_shrink.py --seeds 3 --scale 3    # larger steps

It trains a residual CNN with AdamW and `Pruning(pattern="coupled")`. For each seed, both start from
the same weights and run one after the other in this process, in alternating order. The ratio of
the times is below 1 if `fit_and_shrink` is faster. Both times include all compilations and the
final `shrink`.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import datasets

FILTERS = {"digits": (32, 64), "fashion_mnist": (32, 64, 128)}
EPOCHS = {"digits": 100, "fashion_mnist": 20}


def build(filters, image_shape, seed, steps):
    """Returns a compiled residual network."""
    keras.utils.set_random_seed(seed)

    def convolve(x, filters, strides=1, kernel=3):
        options = {"padding": "same", "use_bias": False}
        x = keras.layers.Conv2D(filters, kernel, strides, **options)(x)
        # The moving averages must converge in few steps.
        return keras.layers.BatchNormalization(momentum=0.9)(x)

    inputs = keras.Input((*image_shape, 1))
    x = keras.layers.ReLU()(convolve(inputs, filters[0]))
    for stage, width in enumerate(filters):
        for block in range(2):
            strides = 2 if stage and not block else 1
            y = convolve(keras.layers.ReLU()(convolve(x, width, strides)), width)
            x = convolve(x, width, strides, 1) if strides > 1 else x
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    rate = keras.optimizers.schedules.CosineDecay(0.002, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss, metrics=["accuracy"])
    return model


def main():
    """Trains both ways for all seeds, and prints times, ratios and accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(FILTERS), default="digits")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--sparsity", type=float, default=0.6)
    parser.add_argument("--scale", type=int, default=1, help="enlarges images by this factor")
    parser.add_argument("--folder", help="folder of the Fashion-MNIST files")
    given = parser.parse_args()
    data = datasets.load(given.data, given.folder)
    epochs, batch_size = given.epochs or EPOCHS[given.data], 128
    shape = tuple(given.scale * size for size in data.image_shape)
    x_train, x_test = (
        np.kron(x.reshape(-1, *data.image_shape, 1), np.ones((1, given.scale, given.scale, 1)))
        for x in (data.x_train, data.x_test)
    )
    steps = epochs * -(-len(x_train) // batch_size)

    def schedule():
        return kerasreg.schedules.Polynomial(
            given.sparsity, end_step=0.3, unit="fraction", frequency=max(1, steps // 30)
        )

    def train(how, seed):
        model = build(FILTERS[given.data], shape, seed, steps)
        pattern = kerasreg.patterns.Coupled(round_to=4, min_units=4)
        options = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
        options["callbacks"] = [kerasreg.callbacks.Pruning(schedule(), pattern=pattern)]
        begun = time.perf_counter()
        if how == "fit":
            model.fit(x_train, data.y_train, **options)
            small, _ = kerasreg.shrink(model)
            sizes = [model.count_params(), small.count_params()]
        else:
            small, history = kerasreg.fit_and_shrink(model, x_train, data.y_train, **options)
            sizes = [*dict.fromkeys(history.history["parameters"]), small.count_params()]
        seconds = time.perf_counter() - begun
        logits = small.predict(x_test, batch_size=512, verbose=0)
        return seconds, float((logits.argmax(axis=1) == data.y_test).mean()), sizes

    table = Table("seed", "fit, s", "fit_and_shrink, s", "ratio", "accuracy", "difference")
    ratios, differences = [], []
    for seed in range(given.seeds):
        order = ["fit", "shrink"] if seed % 2 == 0 else ["shrink", "fit"]
        found = {how: train(how, seed) for how in order}
        (slow, before, _), (fast, after, sizes) = found["fit"], found["shrink"]
        ratios.append(fast / slow)
        differences.append(after - before)
        row = f"{slow:.1f}", f"{fast:.1f}", f"{fast / slow:.2f}", f"{before:.4f}, {after:.4f}"
        table.add_row(str(seed), *row, f"{100 * (after - before):+.2f} points")
        print(f"seed {seed}: parameters {' -> '.join(f'{each:,}' for each in sizes)}", flush=True)
    means = f"{np.mean(ratios):.2f}", "", f"{100 * np.mean(differences):+.2f} points"
    table.add_row("mean", "", "", *means)
    Console().print(table)


if __name__ == "__main__":
    main()
