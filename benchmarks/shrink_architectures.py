"""Shrink every architecture of `keras.applications`, with half of each of its widths set to zero.

Prints one row of Markdown per architecture; with `--write`, writes the table to the docs.

The columns `left`, `difference` and `signal` are measured in float64, with `include_top=False`,
small images and a head of ten classes: the fraction of the parameters that is left, the largest
difference of the outputs on new images, and the largest difference between the outputs of several
images, both relative to the largest output. The other columns are measured in float32 with the
default arguments: the fraction that is left, and the seconds to build and to shrink the model.
"""

import argparse
import collections
import inspect
import json
import math
import pathlib
import re
import subprocess
import sys
import time

import keras
import numpy as np
from keras import layers, ops

import kerasreg
from kerasreg._graph.variables import all_layers

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "shrink_architectures.md"
COLUMNS = (
    *("architecture", "left", "difference", "signal", "left with its top", "build s", "shrink s"),
    "units that had to stay",
)
#: The largest fraction of the parameters that may be left where every width can halve.
GOAL = 0.27
INTRODUCTION = """\
{count} architectures of `keras.applications`. A random half of each of their widths is set to
zero: in the variables that compute the units, in those that read them, or in both. {reached} of
them keep at most {goal} of their parameters: a quarter of the weights between two widths,
and half of the weights of one width (depthwise kernels, normalizations, the head), which
matter more in small architectures. In ConvNeXt, LayerNormalization depends on all features of
the residual streams, so these stay."""


def architectures():
    """`{name: function that builds the model}`."""
    return dict(inspect.getmembers(keras.applications, inspect.isfunction))


def with_small_head(build, size):
    """An architecture for small images with a head of ten classes."""
    base = build(weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3))
    outputs = layers.Dense(10, name="head")(base.output)
    return keras.Model(base.input, outputs, name=base.name)


def roughen(model, rng):
    """Give biases, gains and offsets different values."""
    for variable in model.trainable_variables:
        if len(variable.shape) == 1:
            center = 0.0 if variable.name in ("bias", "beta") else 1.0
            variable.assign(center + 0.2 * rng.normal(size=variable.shape))


def halve(model, rng):
    """Set a random half of the units of every coupled group to zero, on one side or on both.

    Returns:
        The number of parameters without these units.
    """
    shapes = {id(variable): list(variable.shape) for variable in model.weights}
    for group in kerasreg.coupled_groups(model):
        units = rng.permutation(group.units)[: group.units // 2]
        for member in group.members:
            shapes[id(member.variable)][member.axis] -= member.indices[units].size
        sides = [side for side in (group.producers, group.consumers) if side]
        for member in [group.weights, *sides][rng.integers(1 + len(sides))]:
            value = ops.convert_to_numpy(member.variable)
            member.variable.assign(np.where(member.mask(units), 0, value))
    return sum(map(math.prod, shapes.values()))


def images_of(model, rng, count):
    """Random images between 0 and 255."""
    return rng.uniform(0, 255, (count, *model.input_shape[1:]))


def halved(model, seed=0):
    """Set half of all widths to zero; returns the number of parameters without them."""
    rng = np.random.default_rng(seed)
    roughen(model, rng)
    left = halve(model, rng)
    if any(isinstance(each, layers.BatchNormalization) for each in all_layers(model)):
        # Otherwise the outputs would hardly depend on the inputs.
        kerasreg.recalibrate(model, images_of(model, rng, count=16), batch_size=None)
    return left


def outputs_of(model, images):
    """The outputs in inference mode."""
    return np.asarray(ops.convert_to_numpy(model(images, training=False)), "float64")


def compare(model, small, seed=1):
    """`(difference, signal)` relative to the largest output, on new images."""
    images = images_of(model, np.random.default_rng(seed), count=3)
    old, new = outputs_of(model, images), outputs_of(small, images)
    scale = np.abs(old).max()
    return float(np.abs(old - new).max() / scale), float(np.ptp(old, axis=0).max() / scale)


def measure(name):
    """The row of one architecture."""
    build = architectures()[name]
    keras.config.set_dtype_policy("float64")
    # The grouped convolutions of ConvNeXt are slow in float64.
    model = with_small_head(build, size=32 if name.startswith("ConvNeXt") else 96)
    left = halved(model)
    small, report = kerasreg.shrink(model)
    assert small.count_params() <= left, name
    difference, signal = compare(model, small)
    row = {
        "name": name,
        "left": small.count_params() / model.count_params(),
        "difference": difference,
        "signal": signal,
        "pinned": summary(report.pinned),
    }
    del model, small
    keras.utils.clear_session()
    keras.config.set_dtype_policy("float32")
    start = time.perf_counter()
    model = build(weights=None)
    row["build"] = time.perf_counter() - start
    halve(model, np.random.default_rng(0))
    start = time.perf_counter()
    small, _ = kerasreg.shrink(model)
    row["shrink"] = time.perf_counter() - start
    row["left with its top"] = small.count_params() / model.count_params()
    return row


def summary(pinned):
    """Reasons without the names of layers, and the number of units for each."""
    counts = collections.Counter()
    for reason, count in pinned.items():
        counts[re.sub(r"'[^']*' ", "", reason)] += count
    return "; ".join(f"{reason}: {count:,}" for reason, count in counts.most_common())


def cells(row):
    """The row of the table."""
    return (
        row["name"],
        f"{row['left']:.3f}",
        f"{row['difference']:.0e}",
        f"{row['signal']:.0e}",
        f"{row['left with its top']:.3f}",
        f"{row['build']:.1f}",
        f"{row['shrink']:.1f}",
        row["pinned"],
    )


def page(rows):
    """The text of the page."""
    table = [COLUMNS, ["---"] * len(COLUMNS), *map(cells, rows)]
    reached = sum(row["left"] <= GOAL for row in rows)
    return "\n".join(
        [
            "# Shrinking every architecture of Keras",
            "",
            INTRODUCTION.format(count=len(rows), reached=reached, goal=GOAL),
            "",
            "    python benchmarks/shrink_architectures.py --write",
            "",
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            *(f"{line}" for line in __doc__.strip().splitlines()[4:]),
            "",
        ]
    )


def main():
    """Measure each model in a separate process, because they are large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="architectures; default all")
    parser.add_argument("--write", action="store_true", help="write the table to the docs")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.names[0])))
        return
    rows = []
    for name in options.names or architectures():
        command = [sys.executable, __file__, name, "--one"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"| {' | '.join(cells(rows[-1]))} |", flush=True)
    if options.write:
        PAGE.write_text(page(rows))


if __name__ == "__main__":
    main()
