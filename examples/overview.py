"""Draw the picture of the README: exact zeros, and what they save.

    python examples/overview.py        # writes docs/images/overview.png

Left: the first example of the README, trained with Keras' L1 alone and with `ProximalGradient`.
Right: the residual CNN of `examples/shrink_cnn.py --data fashion_mnist`, as measured in
docs/shrinking.md.
"""

from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import kerasreg

PICTURE = Path(__file__).parents[1] / "docs/images/overview.png"
KERAS, OURS = "#888888", "#0072B2"
#: `(before, after)`, from docs/shrinking.md.
COSTS = {
    "parameters": (699_434, 88_798),
    "FLOPs": (45.1, 6.14),
    "latency, 128 images": (43.1, 15.6),
    "latency, 1 image": (3.4, 2.8),
}


def train(callbacks: list) -> np.ndarray:
    """The 20 weights of the first example."""
    x = np.random.default_rng(0).normal(size=(1000, 20))
    y = x[:, [2, 5, 11, 17]] @ [1.0, -2.0, 3.0, 0.5]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(1, kernel_regularizer="l1")])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, y, epochs=30, verbose=0, callbacks=callbacks)
    return keras.ops.convert_to_numpy(model.layers[0].kernel).ravel()


def draw_weights(axes: plt.Axes):
    """Sizes of the weights on a logarithmic scale, with a line for zero."""
    runs = {
        "Keras' L1": (train([]), "o", KERAS),
        "with ProximalGradient": (train([kerasreg.callbacks.ProximalGradient()]), "D", OURS),
    }
    lowest = 1e-6
    for name, (weights, marker, colour) in runs.items():
        sizes = np.where(weights == 0, lowest, np.abs(weights))
        label = f"{name}: {np.mean(weights == 0):.0%} exact zeros"
        axes.plot(sizes, marker, color=colour, label=label, clip_on=False, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(lowest, 10)
    ticks = {lowest: "exactly 0"} | {10.0**power: f"{10.0**power:g}" for power in range(-4, 2)}
    axes.set_yticks(list(ticks), ticks.values())
    axes.minorticks_off()
    axes.set(title="Weights of 20 inputs, of which 4 matter", ylabel="size of the weight")
    axes.set_xticks([2, 5, 11, 17], ["input 2", "5", "11", "17"])
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)


def draw_costs(axes: plt.Axes):
    """Draw the costs of the small CNN relative to the dense one."""
    names = list(COSTS)
    shares = [after / before for before, after in COSTS.values()]
    axes.barh(names, 1, color="#dddddd", label="dense: 92.90 % test accuracy")
    axes.barh(names, shares, color=OURS, label="pruned and shrunk: 92.86 %")
    for row, share in enumerate(shares):
        axes.text(1.02, row, f"{1 / share:.1f} times less", verticalalignment="center")
    axes.invert_yaxis()
    axes.set(title="A residual CNN on Fashion-MNIST", xlim=(0, 1))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)


def main():
    """Train and draw."""
    plt.rcParams["font.size"] = 11
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
    draw_weights(left)
    draw_costs(right)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
