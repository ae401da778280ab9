"""`kerasreg.shrink_to`: a smaller model within a budget, without the least important units."""

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

#: How often the limit is lowered by the excess cost of constants.
_TRIES = 5


def shrink_to(
    model: keras.Model,
    params: int | float | None = None,
    flops: int | float | None = None,
    latency: float | None = None,
    data: Any = None,
    fine_tune: dict[str, Any] | None = None,
    score: str | Score | Callable = "magnitude",
    scope: str | Mapping[str, float] | Callable = "global",
    include: str | None = None,
    exclude: str | None = None,
    round_to: int = 1,
    min_units: int = 1,
    input_shape: InputShape = None,
) -> tuple[keras.Model, ShrinkReport]:
    """Returns a smaller model within a budget, without the least important units.

    Whole units (neurons, channels, heads) are removed, with all weights that compute and read
    them: see `kerasreg.coupled_groups`. As few units are removed as the budget requires. Unlike
    with `kerasreg.shrink`, the outputs change. The original is not changed.

    Exactly one of `params`, `flops` and `latency` must be given.

    Args:
        model: a built Functional or Sequential model.
        params: maximum number of parameters: an int, or a float in (0, 1] as a fraction of those
            of the model.
        flops: maximum number of floating-point operations for one sample (see `kerasreg.flops`):
            an int, or a float in (0, 1] as a fraction of those of the model.
        latency: maximum number of seconds for one sample: a float. It is compared with the median
            that `kerasreg.compare_latency` measures.
        data: inputs, or `(inputs, targets)`, or batches of either that can be iterated several
            times. If it is given, the statistics of BatchNormalization are estimated again: see
            `kerasreg.recalibrate`. Default: None.
        fine_tune: a dict of arguments of `fit`, such as `{"epochs": 3}`, to train the small model
            on `data`. The model must be compiled. Default: None, which does not train.
        score, scope, include, exclude: see `kerasreg.callbacks.Pruning`.
        round_to, min_units: see `kerasreg.patterns.Coupled`.
        input_shape: shape of one sample, for models whose inputs have undefined sizes: see
            `kerasreg.shrink`.

    Returns:
        `(small, report)`, as `kerasreg.shrink`. The report describes the removal, before any
        fine-tuning. Its `difference` compares the small model with a copy of the original in which
        the removed units are zero.

    Raises:
        ValueError: for no budget or several, for one that cannot be reached (the error has the
            smallest possible one), and for whatever `kerasreg.shrink`, `kerasreg.prune` and
            `kerasreg.recalibrate` reject.

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
        # Units that were dead before left constants, whose biases add to the cost.
        limit -= excess
    raise ValueError(
        f"`{budget.name}` must be a budget that can be reached. Received: {budget.received}; the "
        f"smallest model found exceeds it by {excess:,}. Increase the budget."
    )


def _require_fit(model, data, fine_tune):
    if fine_tune is not None and not isinstance(fine_tune, dict):
        expected = "None or a dict of arguments of `fit`, such as {'epochs': 3}"
        raise validation.invalid("fine_tune", fine_tune, expected)
    if fine_tune is not None and (data is None or not model.compiled):
        raise ValueError(
            "`fine_tune` needs `data` and a compiled model. Received: data of type "
            f"{type(data).__name__}, and a model that is {'' if model.compiled else 'not '}"
            "compiled. Pass `data=(x, y)`, and call `compile` before."
        )
    if fine_tune is not None and isinstance(data, (np.ndarray, list)):
        raise ValueError(
            "`fine_tune` needs `data` with targets: `(inputs, targets)`, or batches of both. "
            f"Received: only inputs, of type {type(data).__name__}"
        )
