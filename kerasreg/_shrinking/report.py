"""What `kerasreg.shrink` did: numbers and a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kerasreg._common import validation
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._shrinking.costs.latency import LatencyComparison
from kerasreg._shrinking.nearly import HeadsWithoutScores, NearlyDead

_MOST_LINES = 8
_COLUMNS = ("before", "after", "params", "left", "FLOPs", "left")


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
        if not validation.is_integer(axis) or not -len(self.before) <= axis < len(self.before):
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
class ShrinkReport(Report):
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

    def _sheet(self, width=None):
        # A terminal has no room for the kinds and for exact numbers.
        is_wide = width is None
        form, names = (_exact, ["layer", "kind"]) if is_wide else (_short, ["layer"])
        rows = [
            (
                *[row.name, row.kind][: len(names)],
                *map(_shape, (row.before, row.after)),
                *_counts(row, form),
            )
            for row in self.layers
        ]
        return Sheet(
            title=f"Shrinking of {self.model}",
            columns=(*left(*names), *right(*_COLUMNS)),
            rows=rows,
            total=("total", *[""] * (len(names) + 1), *_counts(self, form)),
            notes=tuple(self._lines()),
        )

    def _lines(self):
        yield f"parameters: {self.parameters_before:,} -> {self.parameters_after:,}"
        yield f"bytes: {self.bytes_before:,} -> {self.bytes_after:,}"
        if self.latency is not None:
            yield self.latency.line
        reasons = sorted(self.pinned.items(), key=lambda each: -each[1])
        pinned = [f"{count:,} units had to stay: {reason}" for reason, count in reasons]
        yield from _some(pinned)
        yield from _some([f"FLOPs: {reason}" for reason in self.uncounted])
        yield from _some([f"stays whole: {reason}" for reason in self.unknown])
        yield from _some(list(map(str, self.nearly)))
        yield f"largest difference of the outputs: {self.difference:.1e}, relative, in {self.dtype}"


def _exact(count):
    return f"{count:,}"


def _short(count):
    """With three digits, where the exact number would need much room."""
    if count < 10_000:
        return _exact(count)
    count = float(f"{count:.3g}")
    digits = int(math.log10(count))
    return f"{count / 1000 ** (digits // 3):.{2 - digits % 3}f}{' kMGTPE'[digits // 3]}"


def _shape(shape):
    return "x".join(map(str, shape))


def _counts(row, form):
    counts = row.parameters_before, row.parameters_after, row.flops_before, row.flops_after
    return tuple("?" if each is None else form(each) for each in counts)


def _some(lines):
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"and {len(lines) - _MOST_LINES:,} more: see `to_dict`"
