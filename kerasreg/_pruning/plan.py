"""The plan of a pruning: what is pruned, to which sparsity and when, and what is skipped."""

from dataclasses import dataclass

import numpy as np

from kerasreg._common.lookup import look_up
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right
from kerasreg._common.texts import listed

_COLUMNS = (*left("variable"), *right("shape", "weights", "units", "pruned", "sparsity"))


@dataclass(frozen=True)
class PlannedVariable:
    """A row of a `Plan`: one variable, or one group of coupled units or heads.

    Attributes:
        path: the path of the variable, or the name of the group.
        shape: the shape of the variable, or `(units, weights per unit)` of a group.
        weights: the number of weights.
        units: the number of units, which are pruned as a whole; the number of weights if the
            pattern is unstructured.
        pruned: the number of units that are zero at the end. None if it depends on the scores: in
            the scope `"global"`, or for blocks of different sizes.
        zeros: the number of weights that are zero at the end, or None if it depends on the scores.
        remark: a limitation that applies to this row, or None.
    """

    path: str
    shape: tuple[int, ...]
    weights: int
    units: int
    pruned: int | None
    zeros: int | None
    remark: str | None = None

    @property
    def sparsity(self) -> float | None:
        """The fraction of the weights that is zero at the end, or None if `zeros` is None."""
        return None if self.zeros is None else self.zeros / self.weights


@dataclass(frozen=True)
class Plan(Report):
    """The result of `kerasreg.callbacks.Pruning.plan` and `kerasreg.prune`.

    Iterating over it yields a `PlannedVariable` for each pruned variable; `plan[path]` returns one.

    Attributes:
        model: the name of the model.
        variables: `{path: PlannedVariable}` of the pruned variables.
        skipped: `{path: reason}` of the variables that are not pruned.
        steps: the optimizer steps after which weights are pruned; empty for pruning in one shot.
        sparsities: the sparsity of the schedule in each of these steps.
        target: the final sparsity of the schedule.
        note: a remark on the numbers of the table, or None.
    """

    model: str
    variables: dict[str, PlannedVariable]
    skipped: dict[str, str]
    steps: list[int]
    sparsities: list[float]
    target: float
    note: str | None = None

    def __getitem__(self, key: str | int) -> PlannedVariable:
        """Returns the plan of a variable by its path, the end of its path, or its position.

        Raises:
            KeyError: if no planned variable or several have this path or end of a path.
            IndexError: for a position that is too large.
        """
        return look_up(self.variables, key, "paths")

    def __iter__(self):
        return iter(self.variables.values())

    @property
    def sparsity(self) -> float:
        """The final fraction of zeros in `variables`, or `target` if it depends on the scores."""
        zeros = [each.zeros for each in self]
        if None in zeros:
            return self.target
        return sum(zeros) / sum(each.weights for each in self)

    def to_dict(self) -> dict:
        """Returns `{"model": ..., "variables": {path: {...}}, "skipped": {path: reason}, ...}`."""
        rows = {
            row.path: {
                "shape": list(row.shape),
                "weights": row.weights,
                "units": row.units,
                "pruned": row.pruned,
                "zeros": row.zeros,
                "sparsity": row.sparsity,
                "remark": row.remark,
            }
            for row in self
        }
        return {
            "model": self.model,
            "variables": rows,
            "skipped": dict(self.skipped),
            "steps": list(self.steps),
            "sparsities": list(self.sparsities),
            "sparsity": self.sparsity,
            "note": self.note,
        }

    def _sheet(self, width=None):
        weights = sum(row.weights for row in self)
        return Sheet(
            title=f"Pruning of {self.model}",
            columns=_COLUMNS,
            rows=[_cells(row) for row in self],
            total=("total", "", f"{weights:,}", "", "", f"{self.sparsity:.1%}"),
            notes=tuple(self._notes()),
        )

    def _notes(self):
        if self.note is not None:
            yield f"({self.note})"
        if self.steps:
            yield self._when()
        remarks = {row.path: row.remark for row in self if row.remark}
        for title, reasons in (("note", remarks), ("not pruned", self.skipped)):
            for reason, paths in _by_reason(reasons).items():
                yield f"{title}: {reason}:\n  {listed(paths, limit=8)}"

    def _when(self):
        first, last = self.steps[0], self.steps[-1]
        if len(self.steps) == 1:
            return f"Prunes once, after optimizer step {first:,}"
        shown = _some(list(zip(self.steps, self.sparsities, strict=True)))
        sparsities = ", ".join(f"{step:,}: {sparsity:.1%}" for step, sparsity in shown)
        return (
            f"Prunes {len(self.steps):,} times, after optimizer steps {first:,} to {last:,}:\n"
            f"  {sparsities}"
        )


def planned(targets, counts, masks=None, bound=None):
    """Returns `{path: PlannedVariable}`.

    Args:
        targets: the `Target`s to prune.
        counts: for each of them, the number of units to prune, or None if scores decide.
        masks: `{id(variable): bool array}`, True for weights that remain, or None.
        bound: `Selection.bound`, or None.
    """
    rows = {}
    for target, count in zip(targets, counts, strict=True):
        units, zeros = target.units, None
        if masks is not None:
            zeros = target.zeros(masks)
            count = units.count - int(np.count_nonzero(units.gather(target.take(masks))))
        elif count is not None and isinstance(units.sizes, int):
            zeros = count * units.sizes
        remarks = [units.remark] if units.remark else []
        if target.path in (bound or {}):
            stays = bound[target.path]
            verb = "remains" if stays == 1 else "remain"
            remarks.append(f"{stays} {verb} due to `min_units`: the scope would leave fewer")
        rows[target.path] = PlannedVariable(
            *(target.path, target.shape, target.weights, units.count, count, zeros),
            "; ".join(remarks) or None,
        )
    return rows


def _cells(row):
    shape = "x".join(map(str, row.shape))
    pruned = "" if row.pruned is None else f"{row.pruned:,}"
    sparsity = "" if row.sparsity is None else f"{row.sparsity:.1%}"
    return row.path, shape, f"{row.weights:,}", f"{row.units:,}", pruned, sparsity


def _some(items, count=8):
    if len(items) <= count:
        return items
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def _by_reason(reasons):
    paths = {}
    for path, reason in reasons.items():
        paths.setdefault(reason, []).append(path)
    return paths
