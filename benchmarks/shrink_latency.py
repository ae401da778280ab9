"""Measure the latency of a shrunk ResNet50, and the time of `shrink`, as ratios.

In all coupled groups, exactly half of the units are zero, or each unit with probability 1/2, which
leaves odd widths, with and without `round_to=16`. The models are measured in turns; the medians of
the latencies are compared

- with the same architecture built with half of all filters. The expected ratio is 1.
- with the prediction by FLOPs: the ratio of the latencies divided by the ratio of the FLOPs.
"""

import argparse
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg


def resnet():
    """The architecture of Keras."""
    return keras.applications.ResNet50(weights=None)


def narrow():
    """The same architecture, built with half of all filters."""
    config = resnet().get_config()
    for layer in config["layers"]:
        # It contains the shapes of the old widths.
        layer.pop("build_config", None)
        if "filters" in layer["config"]:
            layer["config"]["filters"] //= 2
    return keras.Model.from_config(config)


def clear(model, choose):
    """Set the units of every coupled group to zero that `choose(units)` returns."""
    for group in kerasreg.coupled_groups(model):
        group.zero(choose(group.units))
    return model


def seconds_of(function):
    """The seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def against_flops(model, small, batch, repeats):
    """The latency of the small model relative to the prediction by FLOPs."""
    speedup = kerasreg.compare_latency(model, small, batch, repeats=repeats).speedup
    return kerasreg.flops(model) / kerasreg.flops(small) / speedup


def main():
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    dense = resnet()
    half = clear(resnet(), lambda units: rng.permutation(units)[: units // 2])
    odd = clear(resnet(), lambda units: rng.random(units) < 0.5)
    halved, _ = kerasreg.shrink(half)
    # In turns; the first call of each (above) does not count.
    turns = [(seconds_of(resnet), seconds_of(lambda: kerasreg.shrink(half))) for _ in range(7)]
    build, shrinking = np.median(turns, axis=0)
    models = {
        "exact half": halved,
        "random half": kerasreg.shrink(odd)[0],
        "random half, round_to=16": kerasreg.shrink(odd, round_to=16)[0],
    }
    table = Table(title="Shrunk ResNet50", title_justify="left")
    for name in ("", "batch 1", "batch 8"):
        table.add_column(name, justify="left" if not name else "right")
    built = narrow()
    assert halved.count_params() == built.count_params()
    found = [
        1 / kerasreg.compare_latency(built, halved, batch, repeats=repeats).speedup
        for batch in (1, 8)
    ]
    table.add_row("exact half, latency against the narrow model", *(f"{x:.2f}" for x in found))
    for name, small in models.items():
        found = [against_flops(dense, small, batch, repeats) for batch in (1, 8)]
        table.add_row(f"{name}, latency against FLOPs", *(f"{x:.2f}" for x in found))
    console = Console()
    console.print(table)
    console.print(f"shrinking takes {shrinking / build:.2f} times as long as building ResNet50")


if __name__ == "__main__":
    main()
