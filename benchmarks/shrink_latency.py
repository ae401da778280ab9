"""How fast a shrunk ResNet50 is, and shrinking itself, as ratios.

Units of all coupled groups are zero: exactly half of each, or each with probability 1/2, which
leaves odd widths, with `round_to=16` and without. Medians of latencies, models taking turns:

- against the same architecture built that narrow: the config of ResNet50 with half of all filters,
  and fresh weights. 1 is what shrinking should reach.
- against what the FLOPs promise: latency by latency, divided by FLOPs by FLOPs.
"""

import argparse
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg


def resnet():
    """The architecture as Keras builds it."""
    return keras.applications.ResNet50(weights=None)


def narrow():
    """The same with half of all filters, built like that."""
    config = resnet().get_config()
    for layer in config["layers"]:
        # What was built for the old widths.
        layer.pop("build_config", None)
        if "filters" in layer["config"]:
            layer["config"]["filters"] //= 2
    return keras.Model.from_config(config)


def clear(model, choose):
    """Set the units of every coupled group to zero that `choose(units)` picks."""
    for group in kerasreg.coupled_groups(model):
        group.zero(choose(group.units))
    return model


def seconds_of(function):
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def against_flops(model, small, batch, repeats):
    """How many times as long the small model takes as its FLOPs promise."""
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
    # Taking turns, the first of each (above) left out.
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
    table.add_row("exact half, latency against built that narrow", *(f"{x:.2f}" for x in found))
    for name, small in models.items():
        found = [against_flops(dense, small, batch, repeats) for batch in (1, 8)]
        table.add_row(f"{name}, latency against FLOPs", *(f"{x:.2f}" for x in found))
    console = Console()
    console.print(table)
    console.print(f"shrinking takes {shrinking / build:.2f} times as long as building ResNet50")


if __name__ == "__main__":
    main()
