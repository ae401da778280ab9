"""Accuracy against sparsity: how many weights can be zero, and how much accuracy that costs.

    python examples/sparsity_curve.py                        # scikit-learn's digits
    python examples/sparsity_curve.py --data fashion_mnist   # takes about an hour

For several penalties and factors λ, the same network is trained from scratch, with several seeds:

1. Some epochs with the penalty: `PenaltySchedule` increases it, `ProximalGradient` makes exact
   zeros. At their end, `ThresholdPruning` sets small weights to zero that the noise of
   mini-batches has kept non-zero.
2. The other epochs without the penalty, and with the zeros held: the other weights lose their
   shrinkage.

All of this is one `fit`, with as many epochs as for the dense network. A part of the training
images, another one for every seed, is used for validation. The factors are chosen by validation;
nothing is chosen by the test set.

Every run is a line of `demo/<data>/sparsity_curve.jsonl` as soon as it is finished, and is not
repeated. The numbers are printed; the picture goes to the same folder.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullLocator, PercentFormatter
from rich.console import Console
from rich.table import Table

import kerasreg
from kerasreg.regularizers import L0, L1, MCP, Lp, SparseGroupLasso, TransformedL1

DENSE = "dense"
#: `{times fewer weights: the test accuracy that may be lost}`
GOALS = {10: 0.005, 25: 0.015}


@dataclass(frozen=True)
class Recipe:
    """How to train on one dataset; chosen on validation images."""

    units: tuple[int, int]
    validation: int  # images
    batch_size: int
    epochs: int
    learning_rate: float  # at the start; a cosine takes it to 0
    dense_learning_rate: float
    sparse_epochs: int  # with the penalty
    ramp_epochs: int  # in which it increases
    threshold: float  # smaller weights are set to zero


RECIPES = {
    "digits": Recipe(
        units=(64, 32),
        validation=247,
        batch_size=32,
        epochs=20,
        learning_rate=4.5e-3,
        dense_learning_rate=3e-3,
        sparse_epochs=8,
        ramp_epochs=4,
        threshold=1e-2,
    ),
    "fashion_mnist": Recipe(
        units=(300, 100),
        validation=5000,
        batch_size=256,
        epochs=20,
        learning_rate=4.5e-3,
        dense_learning_rate=3e-3,
        sparse_epochs=8,
        ramp_epochs=4,
        threshold=1e-2,
    ),
}
SEEDS = {"digits": 1, "fashion_mnist": 3}


@dataclass(frozen=True)
class Family:
    """A penalty without its factor, and the factors to try on each dataset."""

    penalty: Callable[[float], kerasreg.regularizers.Regularizer]
    style: str
    factors: dict[str, tuple[float, ...]]


FAMILIES = {
    "L1": Family(L1, "o", {"digits": (1e-3, 8e-3), "fashion_mnist": (5.8e-5, 9e-5, 1.7e-4)}),
    # Its groups are the weights out of one pixel or unit.
    "SparseGroupLasso": Family(
        lambda factor: SparseGroupLasso(factor, axis=0),
        "s",
        {"digits": (1e-3, 8e-3), "fashion_mnist": (6.5e-5, 9e-5, 1.7e-4)},
    ),
    "MCP": Family(
        lambda factor: MCP(factor, gamma=100),
        "^",
        {"digits": (4e-3, 1.2e-2), "fashion_mnist": (7e-4, 8.5e-4, 1.15e-3)},
    ),
    "Lp(1/2)": Family(Lp, "v", {"digits": (2e-3, 8e-3), "fashion_mnist": (1.8e-5, 3e-5, 5e-5)}),
    "TransformedL1": Family(
        lambda factor: TransformedL1(factor, a=0.05),
        "D",
        {"digits": (1.5e-3, 8e-3), "fashion_mnist": (8.5e-6, 1.7e-5, 2.7e-5)},
    ),
    "L0": Family(L0, "P", {"digits": (1e-2, 5e-2), "fashion_mnist": (7e-4, 1.8e-3, 5e-3)}),
}


# 1. One run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One network: its settings and its results."""

    penalty: str
    factor: float
    seed: int
    weights: int  # not zero
    pruned: int  # by the threshold
    validation: float
    test: float
    recipe: str


def train(name: str, factor: float, seed: int, recipe: Recipe, data: datasets.Dataset) -> Run:
    """Train a network on all but the validation images, and evaluate it."""
    shuffled = np.random.default_rng(seed).permutation(len(data.x_train))
    validation, training = np.split(shuffled, [recipe.validation])
    steps_per_epoch = -(-len(training) // recipe.batch_size)

    if name == DENSE:
        penalty, callbacks, learning_rate = None, [], recipe.dense_learning_rate
    else:
        penalty, learning_rate = FAMILIES[name].penalty(factor), recipe.learning_rate
        callbacks = sparse_training(recipe, steps_per_epoch)

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build(data.x_train.shape[1], recipe.units, penalty)
    decay = keras.optimizers.schedules.CosineDecay(learning_rate, recipe.epochs * steps_per_epoch)
    model.compile(
        keras.optimizers.Adam(decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        data.x_train[training],
        data.y_train[training],
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=callbacks,
    )
    pruned = callbacks[-1].pruned[recipe.sparse_epochs - 1] if callbacks else {}
    return Run(
        penalty=name,
        factor=factor,
        seed=seed,
        weights=sum(int(np.count_nonzero(each)) for each in model.get_weights()),
        pruned=sum(pruned.values()),
        validation=accuracy(model, data.x_train[validation], data.y_train[validation]),
        test=accuracy(model, data.x_test, data.y_test),
        recipe=repr(recipe),
    )


def build(pixels: int, units: tuple[int, int], penalty) -> keras.Model:
    """A classifier with the same penalty on every kernel."""

    def dense(units, **arguments):
        return keras.layers.Dense(units, kernel_regularizer=penalty, **arguments)

    return keras.Sequential(
        [
            keras.Input((pixels,)),
            dense(units[0], activation="relu", name="hidden_1"),
            dense(units[1], activation="relu", name="hidden_2"),
            dense(10, name="logits"),
        ]
    )


def sparse_training(recipe: Recipe, steps_per_epoch: int) -> list[keras.callbacks.Callback]:
    """The three callbacks: with the penalty first, then without."""
    sparse_steps = recipe.sparse_epochs * steps_per_epoch
    return [
        kerasreg.callbacks.ProximalGradient(),
        kerasreg.callbacks.PenaltySchedule(
            lambda step: step < sparse_steps, ramp_steps=recipe.ramp_epochs * steps_per_epoch
        ),
        kerasreg.callbacks.ThresholdPruning(
            recipe.threshold, at=recipe.sparse_epochs - 1, hold=True
        ),
    ]


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """The fraction of correct predictions."""
    return model.evaluate(x, y, batch_size=1000, verbose=0, return_dict=True)["accuracy"]


# 2. All runs ------------------------------------------------------------------------------------


def train_all(
    keys: list[tuple], recipe: Recipe, data: datasets.Dataset, path: Path, console: Console
) -> list[Run]:
    """The runs of `(penalty, factor, seed)`: from the file, or else trained now."""
    runs = {(run.penalty, run.factor, run.seed): run for run in read(path, recipe)}
    for number, key in enumerate(keys, start=1):
        if key in runs:
            continue
        run = runs[key] = train(*key, recipe, data)
        with path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")
        console.print(
            f"{number:>2} of {len(keys)}: {run.penalty} {run.factor:g}, seed {run.seed}: "
            f"{run.weights:,} weights, {run.validation:.2%} in validation"
        )
    return [runs[key] for key in keys]


def read(path: Path, recipe: Recipe) -> list[Run]:
    """The runs in a file that have this recipe."""
    lines = path.read_text().splitlines() if path.exists() else []
    runs = [Run(**json.loads(line)) for line in lines]
    return [run for run in runs if run.recipe == repr(recipe)]


@dataclass(frozen=True)
class Point:
    """A penalty with a factor: means over the seeds, and the range of the test accuracy."""

    factor: float
    weights: float
    validation: float
    test: float
    lowest: float
    highest: float


def curves(runs: list[Run]) -> dict[str, list[Point]]:
    """The points of every penalty, from many weights to few."""
    found = {}
    for (name, factor), group in groupby(
        sorted(runs, key=lambda run: (run.penalty, run.factor)),
        key=lambda run: (run.penalty, run.factor),
    ):
        group = list(group)
        tests = [run.test for run in group]
        found.setdefault(name, []).append(
            Point(
                factor=factor,
                weights=fmean(run.weights for run in group),
                validation=fmean(run.validation for run in group),
                test=fmean(tests),
                lowest=min(tests),
                highest=max(tests),
            )
        )
    return {name: sorted(points, key=lambda p: -p.weights) for name, points in found.items()}


def choose(curve: list[Point], most_weights: float) -> Point | None:
    """The point with the best validation accuracy among those with few enough weights."""
    small = [point for point in curve if point.weights <= most_weights]
    return max(small, key=lambda point: point.validation, default=None)


# 3. The numbers ---------------------------------------------------------------------------------


def results(sparse: dict[str, list[Point]], dense: Point) -> Table:
    """The results of every penalty with the factor that validation chooses."""
    table = Table(
        title=f"Dense: {dense.weights:,.0f} weights, test accuracy {dense.test:.2%}",
        caption="lost: points of test accuracy, mean over the seeds, least and most",
        caption_justify="left",
    )
    table.add_column("penalty")
    for name in ("λ", "fewer", "accuracy", "lost", "least, most", "goal"):
        table.add_column(name, justify="right")
    for name, curve in sparse.items():
        for times, allowed in GOALS.items():
            point = choose(curve, dense.weights / times)
            if point is None:
                table.add_row(name, *["-"] * 5, f"{times}x: no")
                continue
            lost, least, most = (
                dense.test - test for test in (point.test, point.highest, point.lowest)
            )
            table.add_row(
                name,
                f"{point.factor:g}",
                f"{dense.weights / point.weights:.1f}x",
                f"{point.test:.2%}",
                f"{100 * lost:.2f}",
                f"{100 * least:.2f}, {100 * most:.2f}",
                f"{times}x: {'yes' if lost <= allowed else 'no'}",
            )
    return table


# 4. The picture ---------------------------------------------------------------------------------


def draw(sparse: dict[str, list[Point]], dense: Point, title: str, path: Path):
    """Test accuracy against how many times fewer weights there are."""
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    axes.axhspan(dense.lowest, dense.highest, color="black", alpha=0.1, linewidth=0)
    axes.axhline(dense.test, color="black", linestyle="--", linewidth=1, label=DENSE)
    for name, curve in sparse.items():
        tests = np.array([point.test for point in curve])
        lowest = np.array([point.lowest for point in curve])
        highest = np.array([point.highest for point in curve])
        axes.errorbar(
            [dense.weights / point.weights for point in curve],
            tests,
            yerr=(tests - lowest, highest - tests),
            fmt=f"-{FAMILIES[name].style}",
            color=f"C{list(FAMILIES).index(name)}",
            capsize=3,
            label=name,
        )
    stars = [dense.test - allowed for allowed in GOALS.values()]
    style = {"markersize": 16, "color": "#F0E442", "markeredgecolor": "black"}
    costs = " and ".join(f"{100 * allowed:g}" for allowed in GOALS.values())
    axes.plot(list(GOALS), stars, "*", label=f"goals: {costs} points", **style)

    axes.set_xscale("log")
    axes.set(title=title, xlabel="times fewer weights", ylabel="test accuracy")
    zeros = axes.secondary_xaxis("top")
    zeros.set_xlabel("zeros")
    labels = {axes: "{x:g}", zeros: lambda times, _: f"{1 - 1 / times:.1%}"}
    for each, label in labels.items():
        each.set_xticks([5, 10, 25, 50])
        each.xaxis.set_minor_locator(NullLocator())
        each.xaxis.set_major_formatter(label)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(path, dpi=130)


# 5. Main ----------------------------------------------------------------------------------------


def main():
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    datasets.add_arguments(parser, RECIPES)
    parser.add_argument("--penalties", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, help="how many; default 1, for Fashion-MNIST 3")
    arguments = parser.parse_args()
    data = datasets.load_chosen(parser, arguments)

    console = Console()
    output = Path("demo", arguments.data)
    output.mkdir(parents=True, exist_ok=True)
    picture, lines = output / "sparsity_curve.png", output / "sparsity_curve.jsonl"

    networks = [(DENSE, 0.0)]
    for name in arguments.penalties:
        networks += [(name, factor) for factor in FAMILIES[name].factors[arguments.data]]
    seeds = range(arguments.seeds or SEEDS[arguments.data])
    keys = [(*network, seed) for seed in seeds for network in networks]
    sparse = curves(train_all(keys, RECIPES[arguments.data], data, lines, console))
    (dense,) = sparse.pop(DENSE)
    sparse = {name: sparse[name] for name in arguments.penalties}

    console.print(results(sparse, dense))
    several = f", {len(seeds)} seeds, mean and range" if len(seeds) > 1 else ""
    draw(sparse, dense, f"{data.title}{several}", picture)
    console.print(f"The picture:  {picture}")
    console.print(f"All runs:     {lines}")


if __name__ == "__main__":
    main()
