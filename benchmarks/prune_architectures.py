"""Prune every architecture of `keras.applications` at once, with four patterns; print a table.

With `--hub`, backbones of keras-hub (a separate package) with a small config.
"""

import argparse
import inspect
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import kerasreg
from kerasreg import patterns

PATTERNS = {
    "unstructured": "unstructured",
    "2:4": "2:4",
    "blocks of 4x4": patterns.Block((4, 4)),
    "units": "unit",
}
HUB = {
    "BertBackbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    },
    "GPT2Backbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    },
    "T5Backbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    },
    "GemmaBackbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_query_heads": 2,
        "num_key_value_heads": 1,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "head_dim": 8,
    },
    "LlamaBackbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_query_heads": 2,
        "num_key_value_heads": 1,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    },
    "ViTBackbone": {
        "image_shape": (32, 32, 3),
        "patch_size": 8,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "mlp_dim": 32,
    },
    "ResNetBackbone": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64, 128],
        "stackwise_num_blocks": [2, 2],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
        "image_shape": (32, 32, 3),
    },
    "WhisperBackbone": {
        "vocabulary_size": 100,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    },
}


def applications():
    """Returns `{name: function that builds the model}`."""
    found = inspect.getmembers(keras.applications, inspect.isfunction)
    return {name: lambda build=build: build(weights=None) for name, build in found}


def backbones():
    """Returns the same for backbones of keras-hub."""
    import keras_hub

    return {
        name: lambda name=name, config=config: getattr(keras_hub.models, name)(**config)
        for name, config in HUB.items()
    }


def check(model, plan, before):
    """Raise unless the pruned variables have the zeros of the plan, and no other has changed."""
    for variable, old in zip(model.weights, before, strict=True):
        new = np.asarray(keras.ops.convert_to_numpy(variable))
        kept = new == old
        if variable.path in plan.skipped:
            assert kept.all(), variable.path
        else:
            zeros = int(np.count_nonzero(new == 0))
            assert zeros == plan[variable.path].zeros, variable.path
            assert (kept | (new == 0)).all(), variable.path


def prune(build, pattern):
    """`(plan, seconds)` of pruning half of a new model."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = build()
    before = model.get_weights()
    start = time.perf_counter()
    plan = kerasreg.prune(model, 0.5, pattern)
    seconds = time.perf_counter() - start
    check(model, plan, before)
    return plan, seconds


def row(name, build):
    """The cells of one architecture."""
    found = {label: prune(build, pattern) for label, pattern in PATTERNS.items()}
    plan, _ = found["unstructured"]
    weights = sum(each.weights for each in plan)
    cells = [name, f"{weights / 1e6:.1f} M", str(len(plan.variables))]
    for plan, seconds in found.values():
        skipped = len(plan.skipped) - len(found["unstructured"][0].skipped)
        note = f" ({skipped} skipped)" if skipped else ""
        cells.append(f"{plan.sparsity:.2%}{note}, {seconds:.1f} s")
    return cells


def main():
    """Print a row per architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="architectures; default all")
    parser.add_argument("--hub", action="store_true", help="backbones of keras-hub")
    options = parser.parse_args()
    builders = backbones() if options.hub else applications()
    table = Table(title="Half of the weights pruned in one shot", title_justify="left")
    for name in ("architecture", "weights", "variables", *PATTERNS):
        table.add_column(name, justify="left" if name == "architecture" else "right")
    for name in options.names or builders:
        cells = row(name, builders[name])
        print(" | ".join(cells), flush=True)
        table.add_row(*cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
