"""Pruning in one shot, and rewinding to earlier weights."""

import os
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from kerasreg._common.snapshot import Snapshot
from kerasreg._common.texts import listed
from kerasreg._graph.prunable import prunable
from kerasreg._graph.variables import host_view, require_built
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.plan import Plan, planned
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.selection import Selection
from kerasreg._pruning.timeline import validate_sparsity
from kerasreg._pruning.units import variables_of
from kerasreg._statistics.statistics import nonfinite_paths


def prune(
    model: keras.Model,
    sparsity: float | None = None,
    pattern: str | Pattern = "unstructured",
    score: str | Score | Callable = "magnitude",
    scope: str | Mapping[str, float] = "layer",
    include: str | None = None,
    exclude: str | None = None,
    *,
    min_units: int = 1,
) -> Plan:
    """Prunes a model in one shot: sets the weights with the lowest scores to exactly zero.

    Weights that are zero already count towards the sparsity. Other variables are not changed. A
    compiled model stays compiled. To keep the zeros in later training, use
    `kerasreg.callbacks.Pruning(kerasreg.schedules.Hold())`.

    Args:
        model: a built Keras model.
        sparsity: the fraction of the weights that is zero afterwards, from 0.0 to 1.0, rounded to
            the nearest unit of the pattern. None is allowed for N:M patterns, and means their
            sparsity.
        pattern, score, scope, include, exclude, min_units: see `kerasreg.callbacks.Pruning`.

    Returns:
        A `kerasreg.results.Plan` of what was pruned and what was skipped, with the reasons. Its
        `print()` shows a table.

    Raises:
        ValueError: for invalid arguments, an unbuilt model, an expression that matches nothing, or
            NaN or infinite weights. The model is then not changed.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> plan = kerasreg.prune(model, 0.75)
    >>> plan["net/dense/kernel"].zeros, plan.skipped
    (36, {'net/dense/bias': 'a bias or other 1-D variable: name it in `include` to prune it'})
    """
    selection = Selection(pattern, score, scope, include, exclude, min_units)
    if sparsity is None and selection.pattern.final is not None:
        sparsity = selection.pattern.final
    sparsity = validate_sparsity(sparsity, "sparsity")
    selection.check_sparsity(sparsity)
    targets, skipped = selection.find(model, "kerasreg.prune")
    variables = variables_of(targets)
    selection.score.prepare(model, variables)
    # Zeros count as pruned, whatever their score.
    alive = {id(variable): host_view(variable) != 0 for variable in variables}
    scores = selection.scores(targets, alive)
    counts = selection.counts(targets, scores, sparsity, sparsity)
    chosen = selection.choose(targets, scores, counts)
    # A row may have more zeros than N:M requires.
    masks = {key: mask & alive[key] for key, mask in chosen.items()}
    rows = planned(targets, counts, masks, selection.bound)
    selection.warn_of_floor("kerasreg.prune", sparsity)
    constant = selection.constant_after("kerasreg.prune", targets, masks, sparsity)
    for variable in variables:
        value = ops.convert_to_tensor(variable)
        mask = ops.convert_to_tensor(masks[id(variable)])
        variable.assign(ops.where(mask, value, ops.zeros_like(value)))
    return Plan(model.name, rows, skipped, [], [], sparsity, selection.note(model, constant))


def rewind(model: keras.Model, weights: Sequence[np.ndarray] | str | os.PathLike) -> int:
    """Sets earlier weights and keeps the current zeros, as for lottery tickets.

    The zeros of all trainable variables are kept, except those of biases, other 1-D variables and
    adapters, which may be zero at initialization. Prune a trained model, rewind it to its weights
    at initialization or early in training, and train it again with
    `kerasreg.callbacks.Pruning(kerasreg.schedules.Hold())`.

    Args:
        model: a built Keras model.
        weights: a list of arrays that `model.get_weights()` returned earlier, or the path of a file
            that `model.load_weights` reads.

    Returns:
        The number of weights that are kept at zero.

    Raises:
        ValueError: for weights that do not fit the model, cannot be read or are not finite. The
            model is then not changed.

    Source: Frankle & Carbin (2019), "The Lottery Ticket Hypothesis".

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> start = model.get_weights()
    >>> _ = kerasreg.prune(model, 0.5)
    >>> kerasreg.rewind(model, start)
    24
    """
    require_built(model, "kerasreg.rewind")
    # Other variables, such as biases, may be zero without pruning.
    kernels = {id(variable) for variable in prunable(model)}
    before = Snapshot(model.weights)
    dead = [
        np.equal(value, 0) if id(variable) in kernels else None
        for variable, value in zip(before.variables, before.values, strict=True)
    ]
    try:
        if isinstance(weights, (list, tuple)):
            model.set_weights(weights)
        else:
            model.load_weights(weights)
        broken = nonfinite_paths(model.weights)
        if broken:
            raise ValueError(
                "`weights` must be finite. Received: NaN or infinite weights for "
                f"{listed(broken)}. Pass weights from an earlier step."
            )
        for variable, mask in zip(model.weights, dead, strict=True):
            if mask is not None:
                value = ops.convert_to_tensor(variable)
                gone = ops.convert_to_tensor(mask)
                variable.assign(ops.where(gone, ops.zeros_like(value), value))
    except BaseException as error:
        before.restore()
        if isinstance(error, ValueError) or not isinstance(error, Exception):
            raise
        raise ValueError(
            f"`kerasreg.rewind` could not set the weights, and did not change the model: {error}. "
            "Pass what `model.get_weights()` returned, or the path of a file that "
            "`model.load_weights` reads."
        ) from error
    return sum(int(np.count_nonzero(mask)) for mask in dead if mask is not None)
