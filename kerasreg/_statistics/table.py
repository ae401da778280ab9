"""The table of the weights of a model, with fewer columns on narrow terminals."""

from kerasreg._common.sheet import Sheet, left, right

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
# Columns that are omitted on narrow terminals, in this order.
_DISPENSABLE = (
    *("L1", "dead inputs", "L2", "weights", "shape", "max", "penalty", "dead units", "zeros"),
)
_PATH_WIDTH = 32
# Spaces around a cell and its border.
_PADDING = 2


def statistics_sheet(numbers, width=None):
    """Returns the `Sheet` of a `ModelStatistics`; with all columns if `width` is None."""
    rows = [*numbers, numbers.total]
    columns = {name: [cell(row) for row in rows] for name, cell in _COLUMNS.items()}
    if not numbers.total.regularized:
        del columns["penalty"]
    if not numbers.total.nonfinite:
        del columns["NaN/inf"]
    paths = [f"{row.path} *" if row.regularized else row.path for row in numbers]
    dropped = []
    if width is not None:
        room = width - min(_PATH_WIDTH, max(map(len, paths), default=0))
        dropped = _drop_columns(columns, room)
    *cells, last = zip(*columns.values(), strict=True)
    return Sheet(
        title=f"Weights of {numbers.total.path}",
        columns=(*left("variable"), *right(*columns)),
        rows=[(path, *line) for path, line in zip(paths, cells, strict=True)],
        total=("total", *last),
        notes=tuple(_legend(numbers, columns, dropped)),
        marked=frozenset(place for place, row in enumerate(numbers) if row.nonfinite),
    )


def _drop_columns(columns, width):
    """Drops columns until the others fit next to the paths; returns the names of those dropped."""

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
    return [
        *(["* has a regularizer"] if numbers.total.regularized else []),
        *(["? unknown kind of layer"] if has_unknown else []),
        *([f"no room for {', '.join(dropped)}"] if dropped else []),
        *numbers.notes,
    ]


def _percent(row):
    """Returns the sparsity as text: 0.0% only without zeros, 100.0% only if all are zero."""
    if 0 < row.sparsity < 0.0005:
        return "<0.1%"
    if 0.9995 <= row.sparsity < 1:
        return ">99.9%"
    return f"{row.sparsity:.1%}"


def _dead_units(row):
    # A variable with inputs has a known layer: its units are counted in another variable.
    is_counted = row.units is None and row.inputs is not None
    return "" if is_counted else _dead(row, row.dead_units, row.units)


def _dead(row, dead, count):
    if dead is None:
        is_matrix = len(row.shape) > 1 and not row.path.endswith("bias")
        return "?" if is_matrix else ""
    return f"{dead:,} of {count:,}"
