"""Train a residual CNN, prune its coupled units, and shrink it.

    python examples/shrink_cnn.py                        # scikit-learn's digits, half a minute
    python examples/shrink_cnn.py --data fashion_mnist   # an hour on two cores

1. Train for half of the epochs.
2. Dense: continue for the other half.
3. Pruned: continue from the same weights for the other half, while `Pruning` with the pattern
   `Coupled` removes the least important units. In a residual network, a sum couples the units of
   several layers; they are pruned together.
4. Small: shrink the pruned model, a plain Keras model with the same outputs.

The numbers are printed; they and the picture go to `demo/<data>/`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg

SEED = 0
BATCHES = (1, 32, 128)


@dataclass(frozen=True)
class Recipe:
    """How to train on one dataset, chosen without the test set."""

    filters: tuple[int, ...]
    epochs: int
    batch_size: int
    sparsity: float
    frequency: int


RECIPES = {
    "digits": Recipe(filters=(16, 32), epochs=20, batch_size=32, sparsity=0.5, frequency=10),
    "fashion_mnist": Recipe(
        filters=(32, 64, 128), epochs=10, batch_size=128, sparsity=0.65, frequency=50
    ),
}


def build(recipe: Recipe, image_shape: tuple[int, int]) -> keras.Model:
    """A residual network: convolutions, BatchNormalization, and sums that couple their widths."""
    keras.utils.set_random_seed(SEED)

    def convolve(x, filters, name, kernel=3, strides=1):
        conv = keras.layers.Conv2D(
            filters, kernel, strides, padding="same", use_bias=False, name=name
        )
        return keras.layers.BatchNormalization(name=f"{name}_norm")(conv(x))

    def relu(x):
        return keras.layers.ReLU()(x)

    inputs = keras.Input((*image_shape, 1))
    x = relu(convolve(inputs, recipe.filters[0], "stem"))
    for stage, filters in enumerate(recipe.filters):
        for block in range(2):
            name, strides = f"stage{stage}_block{block}", 2 if block == 0 else 1
            y = relu(convolve(x, filters, f"{name}_a", strides=strides))
            y = convolve(y, filters, f"{name}_b")
            if strides > 1:
                x = convolve(x, filters, f"{name}_skip", kernel=1, strides=strides)
            x = relu(keras.layers.Add(name=f"{name}_sum")([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name="residual")


def train_half(model: keras.Model, recipe: Recipe, data: datasets.Dataset, callbacks=()):
    """Train for half of the epochs, with a learning rate that decays to zero."""
    keras.utils.set_random_seed(SEED)  # The same batches for all.
    steps = recipe.epochs // 2 * -(-len(data.x_train) // recipe.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(0.002, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss, metrics=["accuracy"])
    model.fit(
        images(data.x_train, data),
        data.y_train,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs // 2,
        verbose=2,
        callbacks=list(callbacks),
    )


def images(pixels: np.ndarray, data: datasets.Dataset) -> np.ndarray:
    """Rows of pixels as images of one channel."""
    return pixels.reshape(-1, *data.image_shape, 1)


def accuracy(model: keras.Model, data: datasets.Dataset) -> float:
    """Accuracy on the test set."""
    logits = model.predict(images(data.x_test, data), batch_size=512, verbose=0)
    return float((logits.argmax(axis=1) == data.y_test).mean())


def three_models(recipe: Recipe, data: datasets.Dataset):
    """The dense model, the pruned one, the small one, and the report about how it was made."""
    start = build(recipe, data.image_shape)
    train_half(start, recipe, data)
    dense, pruned = (build(recipe, data.image_shape) for _ in range(2))
    for each in (dense, pruned):
        each.set_weights(start.get_weights())
    train_half(dense, recipe, data)

    schedule = kerasreg.schedules.Polynomial(
        recipe.sparsity, end_step=0.5, unit="fraction", frequency=recipe.frequency
    )
    pattern = kerasreg.patterns.Coupled(round_to=4, min_units=4)
    pruning = kerasreg.callbacks.Pruning(schedule, pattern, scope="layer")
    train_half(pruned, recipe, data, [pruning])
    small, report = kerasreg.shrink(pruned)
    return dense, pruned, small, report


def draw(report, numbers: dict, path: Path):
    """Filters before and after, and the fraction of the costs that is left."""
    widths = [each for each in report.layers if each.kind == "Conv2D"]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.5), width_ratios=(3, 2), layout="constrained"
    )
    names = [each.name for each in widths]
    left.barh(names, [each.before[-1] for each in widths], color="#cccccc", label="dense")
    left.barh(names, [each.after[-1] for each in widths], color="#0072B2", label="small")
    left.invert_yaxis()
    left.set(title="filters of every convolution", xlabel="filters")
    left.legend(frameon=False)
    costs = {
        "parameters": numbers["parameters"],
        "FLOPs": numbers["flops"],
        "bytes": numbers["bytes"],
    }
    costs |= {f"latency,\n{batch} at once": numbers[f"latency_{batch}"] for batch in BATCHES}
    shares = [small / dense for dense, small in costs.values()]
    bars = right.bar(list(costs), shares, color="#0072B2")
    right.bar_label(bars, [f"{dense / small:.1f}x" for dense, small in costs.values()])
    right.axhline(1, color="#cccccc", linewidth=4)
    right.set(title="fraction left (times less)", ylim=(0, 1.1))
    right.tick_params(axis="x", labelsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    accuracies = [f"{100 * each:.2f} %" for each in numbers["accuracy"]]
    figure.suptitle(f"test accuracy: dense {accuracies[0]}, small {accuracies[1]}")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def results(numbers: dict) -> Table:
    """The table of accuracies and costs."""
    table = Table(title="The dense model and the small one", title_justify="left")
    for name in ("", "dense", "small", "ratio"):
        table.add_column(name, justify="left" if name == "" else "right")
    accuracies = numbers["accuracy"]
    points = 100 * (accuracies[1] - accuracies[0])
    table.add_row(
        "test accuracy", *(f"{100 * each:.2f} %" for each in accuracies), f"{points:+.2f} points"
    )
    for name, key in (("parameters", "parameters"), ("FLOPs", "flops"), ("bytes", "bytes")):
        dense, small = numbers[key]
        table.add_row(name, f"{dense:,}", f"{small:,}", f"{dense / small:.1f}x less")
    for batch in BATCHES:
        dense, small = numbers[f"latency_{batch}"]
        row = f"latency, batch of {batch}", f"{1e3 * dense:.2f} ms", f"{1e3 * small:.2f} ms"
        table.add_row(*row, f"{dense / small:.1f}x less")
    return table


def main():
    """Train, prune, shrink, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    datasets.add_arguments(parser, RECIPES)
    parser.add_argument("--output", type=Path, help="a folder for the picture and the numbers")
    arguments = parser.parse_args()
    data = datasets.load_chosen(parser, arguments)
    recipe = RECIPES[arguments.data]
    folder = arguments.output or Path("demo") / arguments.data
    folder.mkdir(parents=True, exist_ok=True)

    dense, pruned, small, report = three_models(recipe, data)
    console = Console()
    console.print(report)
    flops = [kerasreg.flops(each) for each in (dense, small)]
    numbers = {
        "accuracy": [accuracy(each, data) for each in (dense, small)],
        "accuracy_pruned": accuracy(pruned, data),
        "parameters": [each.count_params() for each in (dense, small)],
        "flops": flops,
        "bytes": [report.bytes_before, report.bytes_after],
        "difference": report.difference,
    }
    for batch in BATCHES:
        latency = kerasreg.compare_latency(dense, small, batch_size=batch)
        numbers[f"latency_{batch}"] = [latency.before.median, latency.after.median]
    console.print(results(numbers))
    (folder / "shrink_cnn.json").write_text(json.dumps(numbers, indent=2) + "\n")
    draw(report, numbers, folder / "shrink_cnn.png")
    console.print(f"The picture: {folder / 'shrink_cnn.png'}")


if __name__ == "__main__":
    main()
