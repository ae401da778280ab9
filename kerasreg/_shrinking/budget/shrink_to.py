"""A smaller model within a budget: what matters least goes."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from kerasreg._common import validation
from kerasreg._common.types import InputShape
from kerasreg._graph.analyse import analyse
from kerasreg._graph.requirements import require_shrinkable
from kerasreg._graph.variables import all_layers
from kerasreg._pruning.patterns.coupled import Coupled
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.selection import Selection
from kerasreg._shrinking.budget.budgets import kind_of_budget
from kerasreg._shrinking.budget.recalibrate import recalibrate
from kerasreg._shrinking.budget.removal import Removal
from kerasreg._shrinking.report import ShrinkReport
from kerasreg._shrinking.shrink import compile_alike, shrink

#: How often what constants add is taken off the budget.
_TRIES = 5


def shrink_to(
    model: keras.Model,
    params: int | float | None = None,
    flops: int | float | None = None,
    latency: float | None = None,
    data: Any = None,
    fine_tune: Mapping[str, Any] | None = None,
    score: str | Score | Callable = "magnitude",
    scope: str | Mapping[str, float] | Callable = "global",
    include: str | None = None,
    exclude: str | None = None,
    round_to: int = 1,
    min_units: int = 1,
    input_shape: InputShape = None,
) -> tuple[keras.Model, ShrinkReport]:
    """A smaller model within a budget: without the units that matter least.

    Whole units (neurons, channels, heads) go, with all weights that compute and read them, as few
    as the budget allows; see `kerasreg.coupled_groups`. Unlike those of `kerasreg.shrink`, the
    outputs change. The original is left as it is.

    Args:
        model: a built Functional or Sequential model.
        params, flops: at most so many parameters, or floating-point operations for one sample (see
            `kerasreg.flops`): an int, or a float, the fraction of what the model has.
        latency: at most so many seconds for one sample, in the median that
            `kerasreg.compare_latency` measures. Exactly one of the three is given.
        data: inputs, or `(inputs, targets)`, or batches of them that can be read again and again.
            With data, the statistics of BatchNormalization are estimated anew: see
            `kerasreg.recalibrate`.
        fine_tune: arguments of `fit` to train the small model on `data`, such as
            `{"epochs": 3}`; None trains nothing. The model must be compiled.
        score, scope, include, exclude: see `kerasreg.callbacks.Pruning`.
        round_to, min_units: see `kerasreg.patterns.Coupled`.
        input_shape: the shape of one sample, where the model leaves it open.

    Returns:
        `(small, report)`, as `kerasreg.shrink`. The report is about what was removed: its
        `difference` is to the original with the same units set to zero.

    Raises:
        ValueError: for no budget or several, one that cannot be reached (with the smallest that
            can), or what `kerasreg.shrink`, `kerasreg.prune` and `kerasreg.recalibrate` refuse.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> small, report = kerasreg.shrink_to(model, params=0.5)
    >>> model.count_params(), small.count_params(), small.layers[0].units
    (49, 19, 3)
    """
    require_shrinkable(model, "kerasreg.shrink_to")
    given = {"params": params, "flops": flops, "latency": latency}
    kind = kind_of_budget(given)
    _require_fit(model, data, fine_tune)
    selection = Selection(Coupled(round_to, min_units), score, scope, include, exclude)

    def remove(analysis):
        removal = Removal(model, selection, analysis)
        budget = kind(removal, given[kind.name], input_shape)
        return _within(budget, removal, round_to, input_shape)

    small, report = analyse(model, remove)
    if model.compiled:
        compile_alike(model, small)
    if data is not None and any(
        isinstance(e, layers.BatchNormalization) for e in all_layers(small)
    ):
        recalibrate(small, data)
    if fine_tune is not None:
        small.fit(*(data if isinstance(data, tuple) else (data,)), **fine_tune)
    return small, report


def _within(budget, removal, round_to, input_shape):
    limit = budget.limit
    for _ in range(_TRIES):
        zeroed = removal.zeroed(budget.smallest_share(limit))
        small, report = shrink(zeroed, round_to, input_shape)
        excess = budget.excess(small)
        if excess <= 0:
            return small, report
        # What was dead before left constants, which take some room.
        limit -= excess
    raise ValueError(
        f"`{budget.name}` must be a budget that can be reached. Received: {budget.received}; it is "
        f"exceeded by {excess:,} with all that could go. Allow more."
    )


def _require_fit(model, data, fine_tune):
    if fine_tune is not None and not isinstance(fine_tune, dict):
        expected = "None or a dict of arguments of `fit`, such as {'epochs': 3}"
        raise validation.invalid("fine_tune", fine_tune, expected)
    if fine_tune is not None and (data is None or not model.compiled):
        raise ValueError(
            "`fine_tune` needs `data` and a compiled model. Received: data of type "
            f"{type(data).__name__}, and a model that is {'' if model.compiled else 'not '}compiled"
        )
    if fine_tune is not None and isinstance(data, (np.ndarray, list)):
        raise ValueError(
            "`fine_tune` needs targets: data=(x, y), or batches of both. Received: data of type "
            f"{type(data).__name__}, inputs alone"
        )
