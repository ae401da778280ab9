"""The numbers that a fit logs: variables, totals and tags."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import keras

from kerasreg._graph.prunable import prunable
from kerasreg._statistics.numbers import Statistics, total
from kerasreg._statistics.statistics import statistics

#: What is logged of every variable, and what can be.
DEFAULT_METRICS = ("sparsity", "penalty", "dead_units")
METRICS = (*DEFAULT_METRICS, "zeros", "l1", "l2", "max", "dead_inputs", "nonfinite")
#: What goes into the logs of `fit`.
TOTALS = ("sparsity", "sparsity_of_all", "target_sparsity", "penalty", "dead_units")


@dataclass(frozen=True)
class Logged:
    """The numbers of the weights at one step.

    Attributes:
        rows: of the variables that count.
        broken: of those with NaN or infinite weights, whether they count or not.
        total: of `rows` together, with the penalties of the loss.
        sparsity_of_all: fraction of zeros among all weights of the model.
        target_sparsity: what a pruning of the same fit was asked for so far; None without one.
        coupled: `{name of a coupled group: penalty}`.
    """

    rows: list[Statistics]
    broken: list[Statistics]
    total: Statistics
    sparsity_of_all: float
    target_sparsity: float | None
    coupled: dict[str, float]

    def totals(self) -> dict[str, float]:
        """Returns the numbers for the logs of `fit`, without those that are unknown."""
        found = {name: getattr(self, name, getattr(self.total, name, None)) for name in TOTALS}
        return {name: float(value) for name, value in found.items() if value is not None}

    def scalars(self, metrics: Iterable[str], model_name: str) -> dict[str, float]:
        """`{tag: number}` for TensorBoard; what is unknown or does not apply has no tag."""
        scalars = {}
        for metric in metrics:
            scalars[f"total/{metric}"] = getattr(self.total, metric)
            for row in self.rows:
                if metric != "penalty" or row.regularized:
                    scalars[_tag(metric, row, model_name)] = getattr(row, metric)
        if "sparsity" in metrics:
            scalars["total/sparsity_of_all"] = self.sparsity_of_all
            scalars["total/target_sparsity"] = self.target_sparsity
        if "penalty" in metrics:
            scalars |= {f"penalty/coupled/{name}": value for name, value in self.coupled.items()}
        for row in self.broken:
            scalars[_tag("nonfinite", row, model_name)] = row.nonfinite
            scalars["total/nonfinite"] = sum(each.nonfinite for each in self.broken)
        # A NaN is unequal to itself, and would never count as already written.
        return {
            tag: math.nan if math.isnan(value) else value
            for tag, value in scalars.items()
            if value is not None
        }


def measure(
    model: keras.Model, include=None, pruned=(), target=None, scales=None, coupled=None
) -> Logged:
    """Computes the numbers to log.

    Args:
        model: a built Keras model.
        include: regular expression of the paths that count. Default: the variables in `pruned`,
            or, without any, all that `Pruning` would prune.
        pruned: variables that a pruning of this fit prunes.
        target: the sparsity it was asked for.
        scales: `{id(variable): what its penalty is multiplied by in the loss}`.
        coupled: `{name: penalty}` of coupled groups.
    """
    scales, coupled = scales or {}, coupled or {}
    everything = statistics(model)
    pairs = [
        (variable, replace(row, penalty=row.penalty * scales.get(id(variable), 1.0)))
        for variable, row in zip(model.weights, everything, strict=True)
    ]
    chosen = _chosen(model, include, pruned)
    rows = [row for variable, row in pairs if id(variable) in chosen]
    # The loss has the penalties of biases too.
    penalised = rows if include is not None else [row for _, row in pairs]
    penalty = sum(row.penalty for row in penalised) + sum(coupled.values())
    return Logged(
        rows=rows,
        broken=[row for _, row in pairs if row.nonfinite],
        total=replace(total(rows, model.name), penalty=penalty),
        sparsity_of_all=everything.total.sparsity,
        target_sparsity=target,
        coupled=coupled,
    )


def _chosen(model, include, pruned):
    if include is not None:
        chosen = [each for each in model.weights if re.search(include, each.path)]
    else:
        # A model without a single kernel still has something to show.
        chosen = pruned or prunable(model) or model.weights
    return {id(variable) for variable in chosen}


def _tag(metric, row, model_name):
    # The next Sequential is `sequential_1`, and its curves belong beside the first's.
    return f"{metric}/{row.path.removeprefix(f'{model_name}/')}"
