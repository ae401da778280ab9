"""Numbers to table: what a model's weights look like, printed like Keras' own summary."""

from collections.abc import Callable

import keras
from rich.box import SIMPLE
from rich.table import Table

from kerasreg._common.console import show
from kerasreg._statistics.statistics import ModelStatistics, statistics

_COLUMNS = {
    "shape": lambda row: "x".join(map(str, row.shape)),
    "weights": lambda row: f"{row.size:,}",
    "zeros": lambda row: f"{row.zeros:,}",
    "sparsity": lambda row: _percent(row),
    "dead units": lambda row: _dead_units(row),
    "dead inputs": lambda row: _dead(row, row.dead_inputs, row.inputs),
    "L1": lambda row: f"{row.l1:.4g}",
    "L2": lambda row: f"{row.l2:.4g}",
    "max": lambda row: f"{row.max:.4g}",
    "penalty": lambda row: f"{row.penalty:.4g}" if row.regularized else "",
    "NaN/inf": lambda row: f"{row.nonfinite:,}",
}
# What a narrow terminal does without, first to last.
_DISPENSABLE = (
    *("L1", "dead inputs", "L2", "weights", "shape", "max", "penalty", "dead units", "zeros"),
)
_PATH_WIDTH = 32
# Around a cell, and its border.
_PADDING = 3


def summary(
    model: keras.Model, include: str | None = None, print_fn: Callable[[str], object] | None = None
) -> None:
    """Print the sparsity of every weight variable of a model, and of the whole.

    A star marks variables with a regularizer; `?` is what kerasreg does not know of a layer. A
    terminal that is too narrow gets fewer columns, and their names below the table.

    Args:
        model: a built Keras model, or what `kerasreg.statistics` returned.
        include: regular expression of the paths to show; default all.
        print_fn: called once with the table as plain text; default prints in colour.

    Raises:
        ValueError: for an unbuilt model, or an `include` that matches nothing.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> lines = []
    >>> kerasreg.summary(model, print_fn=lines.append)
    >>> "sparsity" in lines[0]
    True
    """
    numbers = model if isinstance(model, ModelStatistics) else statistics(model, include)
    show(lambda width: _table(numbers, width), print_fn)


def _table(numbers, width):
    rows = [*numbers, numbers.total]
    columns = {name: [cell(row) for row in rows] for name, cell in _COLUMNS.items()}
    if not numbers.total.regularized:
        del columns["penalty"]
    if not numbers.total.nonfinite:
        del columns["NaN/inf"]
    paths = [f"{row.path} *" if row.regularized else row.path for row in numbers]
    dropped = _drop_columns(columns, width - min(_PATH_WIDTH, max(map(len, paths))))

    title, legend = f"Weights of {numbers.total.path}", _legend(numbers, columns, dropped)
    table = Table(title=title, caption=legend, box=SIMPLE)
    table.title_justify = table.caption_justify = "left"
    table.add_column("variable", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    *cells, last = zip(*columns.values(), strict=True)
    for row, path, line in zip(numbers, paths, cells, strict=True):
        table.add_row(path, *line, style="red" if row.nonfinite else None)
    table.add_section()
    table.add_row("total", *last, style="bold")
    return table


def _drop_columns(columns, width):
    """Drop columns until the rest fits beside the paths; returns the names of the dropped."""

    def needed():
        return sum(max(map(len, [name, *cells])) + _PADDING for name, cells in columns.items())

    dropped = []
    for name in _DISPENSABLE:
        if name in columns and needed() + _PADDING + 1 > width:
            dropped.append(name)
            del columns[name]
    return dropped


def _legend(numbers, columns, dropped):
    has_unknown = any("?" in columns.get(name, []) for name in ("dead units", "dead inputs"))
    legend = [
        *(["* has a regularizer"] if numbers.total.regularized else []),
        *(["? unknown kind of layer"] if has_unknown else []),
        *([f"no room for {', '.join(dropped)}"] if dropped else []),
        *numbers.notes,
    ]
    return "; ".join(legend) or None


def _percent(row):
    """`row.sparsity`, with 0.0% for not one zero and 100.0% for nothing else."""
    if 0 < row.sparsity < 0.0005:
        return "<0.1%"
    if 0.9995 <= row.sparsity < 1:
        return ">99.9%"
    return f"{row.sparsity:.1%}"


def _dead_units(row):
    # What has inputs is known: another variable of the layer counts its units.
    is_counted = row.units is None and row.inputs is not None
    return "" if is_counted else _dead(row, row.dead_units, row.units)


def _dead(row, dead, count):
    if dead is None:
        is_matrix = len(row.shape) > 1 and not row.path.endswith("bias")
        return "?" if is_matrix else ""
    return f"{dead:,} of {count:,}"
