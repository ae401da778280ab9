"""What `kerasreg.shrink` did: numbers and a table."""

from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from kerasreg.console import as_text, show


@dataclass(frozen=True)
class LayerWidth:
    """The weights of one layer, before and after.

    Attributes:
        name, kind: of the layer.
        before, after: the shape of its first weights.
        parameters_before, parameters_after: of all of its weights.
    """

    name: str
    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    parameters_before: int
    parameters_after: int


@dataclass(frozen=True)
class ShrinkReport:
    """What `kerasreg.shrink` did.

    Attributes:
        model: the name of the model.
        layers: those with weights.
        parameters_before, parameters_after: of the whole model.
        bytes_before, bytes_after: of its weights.
        pinned: `{reason: how many units had to stay because of it}`.
        difference: of the outputs on random inputs, relative to the largest one.
        dtype: in which they were compared.
    """

    model: str
    layers: list[LayerWidth]
    parameters_before: int
    parameters_after: int
    bytes_before: int
    bytes_after: int
    pinned: dict[str, int]
    difference: float
    dtype: str

    def to_dict(self) -> dict:
        """All numbers as plain Python."""
        return {
            **{name: value for name, value in vars(self).items() if name != "layers"},
            "layers": [
                {**vars(each), "before": list(each.before), "after": list(each.after)}
                for each in self.layers
            ],
        }

    def to_markdown(self) -> str:
        """The layers as a table of Markdown."""
        rows = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, self.layers), self._total()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def print(self, print_fn=None):
        """Print this as a table, in colour, or call `print_fn` once with it as plain text."""
        show(lambda width: self, print_fn)

    def __str__(self):
        return as_text(self)

    def __rich_console__(self, console, options):
        table = Table(title=f"Shrinking of {self.model}", box=SIMPLE, title_justify="left")
        for name in _COLUMNS:
            table.add_column(name, justify="left" if name in _COLUMNS[:2] else "right")
        for each in self.layers:
            table.add_row(*_cells(each))
        table.add_section()
        table.add_row(*self._total(), style="bold")
        yield table
        for reason, count in self.pinned.items():
            yield f"{count:,} units had to stay: {reason}"
        yield f"largest difference of the outputs: {self.difference:.1e}, relative, in {self.dtype}"

    def _total(self):
        return (
            *("total", "", "", ""),
            f"{self.parameters_before:,}",
            f"{self.parameters_after:,}",
        )


_COLUMNS = ("layer", "kind", "before", "after", "parameters", "left")


def report_on(model, small, analysis, difference, dtype):
    """The `ShrinkReport` of a model and what became of it."""
    layers = []
    for old, new in zip(_with_weights(model), _with_weights(small), strict=True):
        shapes = [tuple(each.weights[0].shape) for each in (old, new)]
        counts = [each.count_params() for each in (old, new)]
        layers.append(LayerWidth(old.name, type(old).__name__, *shapes, *counts))
    pinned = {}
    for label, reason in analysis.labels.reasons.items():
        if analysis.roots[label] == 0:
            pinned[reason] = pinned.get(reason, 0) + 1
    return ShrinkReport(
        model=model.name,
        layers=layers,
        parameters_before=model.count_params(),
        parameters_after=small.count_params(),
        bytes_before=_bytes(model),
        bytes_after=_bytes(small),
        pinned=pinned,
        difference=difference,
        dtype=dtype,
    )


def _with_weights(model):
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer._trainable_variables or layer._non_trainable_variables
    ]


def _bytes(model):
    return sum(int(np.prod(v.shape)) * _itemsize(v.dtype) for v in model.weights)


def _itemsize(dtype):
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _cells(row):
    return (
        row.name,
        row.kind,
        "x".join(map(str, row.before)),
        "x".join(map(str, row.after)),
        f"{row.parameters_before:,}",
        f"{row.parameters_after:,}",
    )
