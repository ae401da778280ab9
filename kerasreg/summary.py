"""Numbers to table: what a model's weights look like, printed like Keras' own summary."""

import io

from rich.console import Console
from rich.table import Table

from kerasreg.statistics import ModelStatistics, Statistics, statistics

_COLUMNS = (
    *("shape", "weights", "zeros", "sparsity", "L1", "L2", "max", "penalty"),
    *("dead units", "dead inputs"),
)
_WIDTH = 120


def summary(model, include=None, print_fn=None):
    """Print the sparsity of every weight variable of a model, and of the whole.

    A star marks variables with a regularizer; `?` is what kerasreg does not know of a layer.

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
    table = _table(numbers)
    if print_fn is None:
        Console().print(table)
        return
    console = Console(file=io.StringIO(), width=_WIDTH, no_color=True)
    console.print(table)
    print_fn(console.file.getvalue().rstrip())


def _table(numbers):
    broken = numbers.total.nonfinite > 0
    table = Table(title=f"Weights of {numbers.total.path}")
    table.add_column("variable", overflow="fold")
    for name in (*_COLUMNS, *(["NaN/inf"] if broken else [])):
        table.add_column(name, justify="right")
    for row in numbers:
        name = f"{row.path} *" if row.regularized else row.path
        table.add_row(name, *_cells(row, broken), style="red" if row.nonfinite else None)
    table.add_section()
    table.add_row("total", *_cells(numbers.total, broken), style="bold")
    return table


def _cells(row: Statistics, broken):
    cells = [
        "x".join(map(str, row.shape)),
        f"{row.size:,}",
        f"{row.zeros:,}",
        f"{row.sparsity:.1%}",
        *(f"{value:.4g}" for value in (row.l1, row.l2, row.max)),
        f"{row.penalty:.4g}" if row.penalty or row.regularized else "",
        _dead(row, row.dead_units, row.units),
        _dead(row, row.dead_inputs, row.inputs),
    ]
    return [*cells, f"{row.nonfinite:,}"] if broken else cells


def _dead(row, dead, count):
    if dead is None:
        return "?" if len(row.shape) > 1 else ""
    return f"{dead:,} of {count:,}"
