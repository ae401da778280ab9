"""Train one network in three ways, and compare their exact zeros.

    python examples/first_light.py                        # scikit-learn's digits
    python examples/first_light.py --data fashion_mnist

1. Keras' own L1. The penalty makes weights small, but none of them zero.
2. The same L1 with `callbacks=[kerasreg.callbacks.ProximalGradient()]`. Many weights are exactly 0.
3. GroupLasso instead of L1, with the same callback. Whole units are zero, which `kerasreg.shrink`
   can remove.

The numbers are printed; the picture and the logs for TensorBoard go to `demo/<data>/`.
"""

import argparse
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import kerasreg

SEED = 0


@dataclass(frozen=True)
class Recipe:
    """How to train on one dataset. The factors were chosen without the test set."""

    units: tuple[int, int]
    factor: float
    epochs: int
    batch_size: int


RECIPES = {
    "digits": Recipe(units=(64, 32), factor=1e-3, epochs=40, batch_size=32),
    "fashion_mnist": Recipe(units=(300, 100), factor=1e-4, epochs=10, batch_size=128),
}


@dataclass
class Run:
    """One of the three trainings, and the sparsity of its kernels after every epoch."""

    name: str
    slug: str
    colour: str
    model: keras.Model
    callbacks: list = field(default_factory=list)
    sparsity: list = field(default_factory=list)


# 1. Three ways to train one network -------------------------------------------------------------


def build(recipe: Recipe, pixels: int) -> keras.Model:
    """A classifier with an L1 penalty on every kernel; the initial weights are always the same."""
    keras.utils.set_random_seed(SEED)

    def dense(units, **arguments):
        l1 = keras.regularizers.L1(recipe.factor)
        return keras.layers.Dense(units, kernel_regularizer=l1, **arguments)

    model = keras.Sequential(
        [
            keras.Input((pixels,)),
            dense(recipe.units[0], activation="relu", name="hidden_1"),
            dense(recipe.units[1], activation="relu", name="hidden_2"),
            dense(10, name="logits"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def three_ways(recipe: Recipe, pixels: int) -> list[Run]:
    """The same network with the same initial weights, three times."""
    keras_l1 = build(recipe, pixels)
    first = Run("Keras' L1", "1_keras_l1", "#555555", keras_l1)

    proximal_l1 = build(recipe, pixels)
    second = Run("proximal L1", "2_proximal_l1", "#0072B2", proximal_l1)
    second.callbacks = [kerasreg.callbacks.ProximalGradient()]

    # One group per unit: all weights that lead into it. The output layer keeps its L1.
    group_lasso = build(recipe, pixels)
    penalty = kerasreg.regularizers.GroupLasso(recipe.factor, axis="output")
    kerasreg.attach(group_lasso, {"hidden.*/kernel": penalty})
    third = Run("proximal GroupLasso", "3_group_lasso", "#D55E00", group_lasso)
    third.callbacks = [kerasreg.callbacks.ProximalGradient()]

    return [first, second, third]


def train(run: Run, recipe: Recipe, data: datasets.Dataset, logs: Path, progress: Progress):
    """Fit, with the sparsity in the progress bar, in the history and in TensorBoard."""
    task = progress.add_task(run.name, total=recipe.epochs, accuracy=0.0, sparsity=0.0)

    def show(epoch, logs):
        numbers = {name: logs[name] for name in ("accuracy", "sparsity")}
        progress.update(task, advance=1, **numbers)

    keras.utils.set_random_seed(SEED)  # The same batches for all.
    history = run.model.fit(
        data.x_train,
        data.y_train,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[
            *run.callbacks,
            kerasreg.callbacks.SparsityLogger(include="kernel"),
            keras.callbacks.TensorBoard(logs / run.slug),
            keras.callbacks.LambdaCallback(on_epoch_end=show),
        ],
    )
    run.sparsity = history.history["sparsity"]


def progress_bars(console: Console) -> Progress:
    """One line per training."""
    return Progress(
        TextColumn("{task.description:<19}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("epochs  accuracy {task.fields[accuracy]:.3f}"),
        TextColumn("zeros {task.fields[sparsity]:5.1%}"),
        TimeElapsedColumn(),
        console=console,
    )


# 2. The numbers ---------------------------------------------------------------------------------


def results(runs: list[Run], recipe: Recipe, data: datasets.Dataset) -> Table:
    """Accuracy, objective and zeros of the three trainings."""
    table = Table(
        title=f"{data.title}, λ = {recipe.factor:g}, {recipe.epochs} epochs",
        caption="accuracy: on the test set\n"
        "objective: training loss with the penalty; not comparable for GroupLasso\n"
        "exact zeros, dead units: in the kernels of all layers",
        caption_justify="left",
    )
    table.add_column("training")
    for name in ("accuracy", "objective", "exact zeros", "dead units"):
        table.add_column(name, justify="right")
    for run in runs:
        test = evaluate(run.model, data.x_test, data.y_test)
        training = evaluate(run.model, data.x_train, data.y_train)
        kernels = kerasreg.statistics(run.model, include="kernel").total
        table.add_row(
            run.name,
            f"{test['accuracy']:.2%}",
            f"{training['loss']:.4f}",
            f"{kernels.zeros:,} ({kernels.sparsity:.1%})",
            f"{kernels.dead_units} of {kernels.units}",
        )
    return table


def evaluate(model: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Loss, which contains the penalty, and accuracy."""
    return model.evaluate(x, y, batch_size=1000, verbose=0, return_dict=True)


# 3. The picture ---------------------------------------------------------------------------------

COLOURS = plt.get_cmap("RdBu_r")
ZERO = (0.1, 0.1, 0.1, 1.0)


def draw(runs: list[Run], data: datasets.Dataset, path: Path):
    """The weights of the first layer, and the sparsity after every epoch."""
    kernels = [np.asarray(run.model.get_layer("hidden_1").kernel) for run in runs]
    limit = np.quantile(np.abs(kernels), 0.995)
    scale = Normalize(-limit, limit)

    figure, (*panels, chart) = plt.subplots(1, 4, figsize=(13, 3.8), layout="constrained")
    for panel, run, kernel in zip(panels, runs, kernels, strict=True):
        panel.imshow(mosaic(kernel, data.image_shape, scale), interpolation="nearest")
        panel.set_title(run.name, color=run.colour, weight="bold")
        panel.set_xlabel(f"first layer: {np.mean(kernel == 0):.1%} exact zeros")
        panel.set(xticks=[], yticks=[])

    for run in runs:
        epochs = range(1, len(run.sparsity) + 1)
        chart.plot(epochs, run.sparsity, color=run.colour, linewidth=2, label=run.name)
    chart.set(title="Exact zeros in all kernels", xlabel="epoch", ylim=(-0.02, 1))
    chart.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    chart.grid(alpha=0.3)
    chart.legend(loc="upper left", frameon=False)

    meanings = {
        "negative": COLOURS(0.1),
        "positive": COLOURS(0.9),
        "almost 0": COLOURS(0.5),
        "exactly 0": ZERO,
    }
    patches = [
        Patch(facecolor=colour, edgecolor="#999999", label=meaning)
        for meaning, colour in meanings.items()
    ]
    figure.legend(
        handles=patches,
        title=f"Weights into 64 of the {kernels[0].shape[1]} units of the first layer, as images",
        alignment="left",
        loc="outside lower left",
        ncols=4,
        frameon=False,
    )
    figure.savefig(path, dpi=130)


def mosaic(kernel: np.ndarray, image_shape: tuple[int, int], scale: Normalize) -> np.ndarray:
    """The weights into the first 64 units as 8x8 images, with exact zeros in black."""
    images = kernel[:, :64].T.reshape(64, *image_shape)
    painted = np.where(images[..., None] == 0, ZERO, COLOURS(scale(images)))
    framed = np.pad(painted, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1.0)
    rows = framed.reshape(8, 8, *framed.shape[1:])
    return np.concatenate(np.concatenate(rows, axis=1), axis=1)


# 4. Main ----------------------------------------------------------------------------------------


def main():
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    datasets.add_arguments(parser, RECIPES)
    arguments = parser.parse_args()
    data = datasets.load_chosen(parser, arguments)

    console = Console()
    console.print(
        f"{data.title}: {len(data.x_train):,} images to train, {len(data.x_test):,} to test"
    )
    console.print(f"Source: {data.source}")

    output = Path("demo", arguments.data)
    logs, picture = output / "logs", output / "first_light.png"
    shutil.rmtree(logs, ignore_errors=True)  # Otherwise TensorBoard also shows the previous demo.

    recipe = RECIPES[arguments.data]
    runs = three_ways(recipe, pixels=data.x_train.shape[1])
    with progress_bars(console) as progress:
        for run in runs:
            train(run, recipe, data, logs, progress)
    console.print(results(runs, recipe, data))

    draw(runs, data, picture)
    console.print(f"The picture:  {picture}")
    console.print(f"The logs:     {logs}")
    tensorboard = os.path.relpath(Path(sys.executable).with_name("tensorboard"))
    console.print(f"To open them: [bold]{tensorboard} --logdir {logs}[/bold]", soft_wrap=True)


if __name__ == "__main__":
    main()
