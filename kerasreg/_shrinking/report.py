"""What `kerasreg.shrink` did: numbers and a table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from kerasreg._common.console import as_text, show
from kerasreg._graph.tracing import trace
from kerasreg._shrinking.costs import costs, total, unknown_costs
from kerasreg._shrinking.costs.flops import Shapes, open_sizes
from kerasreg._shrinking.costs.latency import LatencyComparison
from kerasreg._shrinking.kept import kept_axes
from kerasreg._shrinking.nearly import HeadsWithoutScores, NearlyDead, nearly_dead
from kerasreg._shrinking.stays import lost_constants

_MOST_LINES = 8


@dataclass(frozen=True)
class LayerWidth:
    """One layer, before and after.

    Attributes:
        name, kind: of the layer.
        before, after: the shape of its first weights.
        parameters_before, parameters_after: of all of its weights.
        flops_before, flops_after: of all of its calls for one sample; None where unknown.
        kept: for every axis of `before`, the indices that are left; see `left`.
    """

    name: str
    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    flops_before: int | None
    flops_after: int | None
    kept: list[list[int]]

    def left(self, axis: int = -1, names: Sequence[str] | None = None) -> list:
        """What is left along an axis of the first weights: the last one has the units of most.

        Args:
            axis: of `before`: in a Dense layer 0 has the inputs, and -1 the units.
            names: of all that were there before, in their order. Default: indices.
        """
        if not -len(self.before) <= axis < len(self.before):
            raise ValueError(
                f"`axis` must be one of the {len(self.before)} axes of the first weights of "
                f"'{self.name}'. Received: axis={axis!r}"
            )
        if names is not None and len(names) != self.before[axis]:
            raise ValueError(
                f"`names` must have {self.before[axis]} names. Received: {len(names)} names"
            )
        return [index if names is None else names[index] for index in self.kept[axis]]


@dataclass(frozen=True)
class ShrinkReport:
    """What `kerasreg.shrink` did.

    Attributes:
        model: the name of the model.
        layers: those with weights.
        parameters_before, parameters_after: of the whole model.
        flops_before, flops_after: of one inference of one sample; None where a size is open or a
            layer unknown (see `kerasreg.flops`).
        bytes_before, bytes_after: of its weights.
        latency: a `kerasreg.results.LatencyComparison`, or None where it was not
            measured.
        pinned: `{reason: how many units had to stay because of it}`.
        uncounted: why FLOPs are unknown, by layer.
        unknown: layers with weights that stay whole because nobody knows them, and why.
        nearly: a `kerasreg.results.NearlyDead` for units that one kernel keeps, and a
            `HeadsWithoutScores` for heads of which the query or the key alone is zero.
        difference: of the outputs on random inputs, relative to the largest one.
        dtype: in which they were compared.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> plan = kerasreg.prune(model, 0.5, pattern="unit", exclude="dense_1")
    >>> small, report = kerasreg.shrink(model)
    >>> report.flops_before, report.flops_after, report.layers[0].after
    (97, 49, (4, 4))
    """

    model: str
    layers: list[LayerWidth]
    parameters_before: int
    parameters_after: int
    flops_before: int | None
    flops_after: int | None
    bytes_before: int
    bytes_after: int
    pinned: dict[str, int]
    uncounted: list[str]
    unknown: list[str]
    nearly: list[NearlyDead | HeadsWithoutScores]
    difference: float
    dtype: str
    latency: LatencyComparison | None = None

    def with_latency(self, latency: LatencyComparison) -> "ShrinkReport":
        """The same with what `kerasreg.compare_latency(model, small)` returned."""
        return replace(self, latency=latency)

    def to_dict(self) -> dict:
        """All numbers as plain Python, ready for JSON."""
        return _with_lists(asdict(self))

    def to_markdown(self) -> str:
        """The layers as a table of Markdown, and what else is known as a list."""
        rows = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, self.layers), _total(self)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return table + "\n\n" + "\n".join(f"- {line}" for line in self._lines())

    def print(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print this as a table, in colour, or call `print_fn` once with it as plain text."""
        show(lambda width: self, print_fn)

    def __str__(self):
        return as_text(self)

    def __rich_console__(self, console, options):
        table = Table(title=f"Shrinking of {self.model}", box=SIMPLE, title_justify="left")
        table.padding = (0, 1, 0, 0)
        # The kinds need too much room here.
        table.add_column("layer", overflow="fold")
        for name in _COLUMNS[2:]:
            table.add_column(name, justify="right", no_wrap=True)
        for each in self.layers:
            name, _, *cells = _cells(each, _short)
            table.add_row(name, *cells)
        table.add_section()
        name, _, *cells = _total(self, _short)
        table.add_row(name, *cells, style="bold")
        yield table
        yield from self._lines()

    def _lines(self):
        yield f"parameters: {self.parameters_before:,} -> {self.parameters_after:,}"
        yield f"bytes: {self.bytes_before:,} -> {self.bytes_after:,}"
        if self.latency is not None:
            yield str(self.latency)
        reasons = sorted(self.pinned.items(), key=lambda each: -each[1])
        pinned = [f"{count:,} units had to stay: {reason}" for reason, count in reasons]
        yield from _some(pinned)
        yield from _some([f"FLOPs: {reason}" for reason in self.uncounted])
        yield from _some([f"stays whole: {reason}" for reason in self.unknown])
        yield from _some(list(map(str, self.nearly)))
        yield f"largest difference of the outputs: {self.difference:.1e}, relative, in {self.dtype}"


_COLUMNS = ("layer", "kind", "before", "after", "params", "left", "FLOPs", "left")


def report_on(model, small, analysis, dead, difference, dtype, input_shape=None):
    """The `ShrinkReport` of a model and what became of it."""
    graph, shapes = _graph_of(model, input_shape)
    small_graph, small_shapes = _graph_of(small, input_shape)
    flops, small_flops = costs(graph, shapes), costs(small_graph, small_shapes)
    layers, kept = [], kept_axes(analysis, dead)
    for old, new in zip(_operations(graph), _operations(small_graph), strict=True):
        if getattr(old, "weights", None):
            widths = [tuple(each.weights[0].shape) for each in (old, new)]
            counts = [each.count_params() for each in (old, new)]
            counts += [flops[id(old)], small_flops[id(new)]]
            left = [axis.tolist() for axis in kept[id(old)]]
            layers.append(LayerWidth(old.name, type(old).__name__, *widths, *counts, left))
    pinned = {}
    for label, reason in analysis.labels.reasons.items():
        if analysis.roots[label] == 0:
            pinned[reason] = pinned.get(reason, 0) + 1
    pinned.update(lost_constants(analysis, dead.labels))
    return ShrinkReport(
        model=model.name,
        layers=layers,
        parameters_before=model.count_params(),
        parameters_after=small.count_params(),
        flops_before=total(flops.values()),
        flops_after=total(small_flops.values()),
        bytes_before=_bytes(model),
        bytes_after=_bytes(small),
        pinned=pinned,
        uncounted=unknown_costs(graph, shapes),
        unknown=analysis.notes,
        nearly=nearly_dead(model, analysis, dead),
        difference=difference,
        dtype=dtype,
    )


def _graph_of(model, input_shape):
    """The graph of a model, and the shapes in it."""
    graph = trace(model)
    return graph, Shapes(open_sizes(model, graph, input_shape))


def _operations(graph):
    """Each once, in order."""
    return {id(call.operation): call.operation for call in graph.calls}.values()


def _bytes(model):
    return sum(int(np.prod(v.shape)) * _itemsize(v.dtype) for v in model.weights)


def _itemsize(dtype):
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _exact(count):
    return f"{count:,}"


def _short(count):
    """With three digits, where the exact number would need much room."""
    if count < 10_000:
        return _exact(count)
    count = float(f"{count:.3g}")
    digits = int(math.log10(count))
    return f"{count / 1000 ** (digits // 3):.{2 - digits % 3}f}{' kMGTPE'[digits // 3]}"


def _cells(row, form=_exact):
    shapes = ("x".join(map(str, shape)) for shape in (row.before, row.after))
    return row.name, row.kind, *shapes, *_counts(row, form)


def _total(report, form=_exact):
    return "total", "", "", "", *_counts(report, form)


def _counts(row, form):
    counts = row.parameters_before, row.parameters_after, row.flops_before, row.flops_after
    return tuple("?" if each is None else form(each) for each in counts)


def _some(lines):
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"and {len(lines) - _MOST_LINES:,} more: see `to_dict`"


def _with_lists(values):
    if isinstance(values, dict):
        return {key: _with_lists(value) for key, value in values.items()}
    return [_with_lists(each) for each in values] if isinstance(values, (list, tuple)) else values
