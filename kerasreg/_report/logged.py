"""The numbers that are logged in a `fit`: variables, totals and tags."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import keras

from kerasreg._graph.prunable import prunable
from kerasreg._statistics.numbers import Statistics, total
from kerasreg._statistics.statistics import statistics

#: The numbers that are logged for every variable by default, and all possible ones.
DEFAULT_METRICS = ("sparsity", "penalty", "dead_units")
METRICS = (*DEFAULT_METRICS, "zeros", "l1", "l2", "max", "dead_inputs", "nonfinite")
#: The numbers in the logs of `fit`.
TOTALS = ("sparsity", "sparsity_of_all", "target_sparsity", "penalty", "dead_units")


@dataclass(frozen=True)
class Logged:
    """The numbers of the weights at one step.

    Attributes:
        rows: statistics of the logged variables.
        broken: statistics of all variables with NaN or infinite weights.
        total: statistics of `rows` together, with the penalties of the loss.
        sparsity_of_all: fraction of zeros among all weights of the model.
        target_sparsity: current target of a pruning callback of the same fit, or None.
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
        """Returns `{tag: number}` for TensorBoard, without numbers that are unknown."""
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
        # With one NaN object, equal scalars compare as equal, and are not written again.
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
        include: regular expression for the paths of the logged variables. Default: the variables in
            `pruned`, or if there are none, all that `Pruning` prunes by default.
        pruned: the variables that are pruned in this fit.
        target: the current target sparsity of this pruning.
        scales: `{id(variable): factor of its penalty in the loss}`.
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
        # In a model without kernels, all weights are logged.
        chosen = pruned or prunable(model) or model.weights
    return {id(variable) for variable in chosen}


def _tag(metric, row, model_name):
    # Without the model's name, the curves of `sequential` and `sequential_1` are in one chart.
    return f"{metric}/{row.path.removeprefix(f'{model_name}/')}"
