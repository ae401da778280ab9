"""The report of `kerasreg.shrink`."""

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
    """One layer, before and after shrinking.

    Attributes:
        name: name of the layer.
        kind: name of its class.
        before, after: shape of its first variable (of most layers, the kernel).
        parameters_before, parameters_after: number of parameters of the layer.
        flops_before, flops_after: floating-point operations of all calls of the layer, for one
            sample; None if unknown.
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
        """Returns which inputs or units are left along an axis of the first variable.

        Args:
            axis: an axis of `before`. In most layers, the last one has the units. In a Dense
                layer, 0 has the inputs and -1 the units.
            names: names of all inputs or units before shrinking, in their order. Default: None,
                which returns indices.

        Returns:
            A list of indices, or of names.

        Raises:
            ValueError: for an axis that does not exist, or a wrong number of names.
        """
        if not validation.is_integer(axis) or not -len(self.before) <= axis < len(self.before):
            raise ValueError(
                f"`axis` must be one of the {len(self.before)} axes of the first weights of "
                f"'{self.name}'. Received: axis={axis!r}"
            )
        if names is not None and len(names) != self.before[axis]:
            raise ValueError(
                f"`names` must have one name for each of the {self.before[axis]} entries of axis "
                f"{axis} of '{self.name}'. Received: {len(names)} names"
            )
        return [index if names is None else names[index] for index in self.kept[axis]]


@dataclass(frozen=True)
class ShrinkReport(Report):
    """The result of `kerasreg.shrink`.

    Attributes:
        model: name of the model.
        layers: a `kerasreg.results.LayerWidth` for every layer with weights.
        parameters_before, parameters_after: number of parameters of the model.
        flops_before, flops_after: floating-point operations of the inference of one sample; None
            if an input size is undefined or a layer unknown (see `kerasreg.flops`).
        bytes_before, bytes_after: size of the weights in bytes.
        latency: a `kerasreg.results.LatencyComparison`, or None if it was not measured.
        pinned: `{reason: number of units that stay for this reason}`.
        uncounted: the reasons for unknown FLOPs, one for each such layer.
        unknown: layers with weights that are not shrunk because no rule is registered for them,
            with the reason.
        nearly: a `kerasreg.results.NearlyDead` for units that stay because of a single kernel, and
            a `kerasreg.results.HeadsWithoutScores` for attention heads whose query or key weights
            are zero.
        difference: largest difference of the outputs on random inputs, relative to the largest
            output.
        dtype: the dtype in which the outputs were compared.

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
        """Returns a copy of this report with a measured latency.

        Args:
            latency: the result of `kerasreg.compare_latency(model, small)`.
        """
        return replace(self, latency=latency)

    def _sheet(self, width=None):
        # The classes and the exact numbers are too wide for a terminal.
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
        yield from _some([f"not shrunk: {reason}" for reason in self.unknown])
        yield from _some(list(map(str, self.nearly)))
        yield f"largest difference of the outputs: {self.difference:.1e}, relative, in {self.dtype}"


def _exact(count):
    return f"{count:,}"


def _short(count):
    """Returns a count of up to four digits exactly, a larger one with three digits and a prefix."""
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
