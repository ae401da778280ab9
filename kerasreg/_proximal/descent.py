"""Full-batch proximal gradient descent with an adaptive step size, for `polish`."""

import math

import keras

from kerasreg._common.batches import samples_in
from kerasreg._common.snapshot import Snapshot, unchanged_by_errors


def descend(model, optimizer, data, epochs):
    """Minimizes the objective, and restores the weights if an exception occurs.

    Returns:
        `(objective before, objective after, number of steps that lowered it)`.
    """
    with unchanged_by_errors(model.trainable_variables) as kept:
        return _descended(model, optimizer, data, epochs, kept)


def _descended(model, optimizer, data, epochs, kept):
    taken, first = 0, None
    best = first = _pass(model, data)
    if not math.isfinite(first):
        raise ValueError(
            f"The objective of '{model.name}' is {first} before polishing. Check the weights and "
            "the data for NaN and infinity."
        )
    for _ in range(epochs):
        # The result of the previous step. The next pass computes its objective.
        candidate = Snapshot(model.trainable_variables)
        objective = _pass(model, data)
        if objective <= best:
            kept, best, taken = candidate, objective, taken + 1
            optimizer.scale.assign(2.0 * optimizer.scale)
        else:
            kept.restore()
            optimizer.scale.assign(0.25 * optimizer.scale)
            _pass(model, data)
    kept.restore()
    return first, best, taken


def _pass(model, data):
    """Returns the objective of the current weights, and makes one step of the optimizer."""
    total, samples = 0.0, 0
    for batch in data:
        require_targets(model, batch[1] if len(batch) > 1 else None)
        model.reset_metrics()
        loss = model.train_on_batch(*batch, return_dict=True)["loss"]
        size = samples_in(batch)
        total, samples = total + size * float(loss), samples + size
    return total / samples


def require_targets(model, y):
    """Raises a `ValueError` if the loss of the model needs targets and there are none."""
    is_own = any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("train_step", "compute_loss")
    )
    if y is None and model.loss is not None and not is_own:
        raise ValueError(
            f"`kerasreg.polish` needs targets, because '{model.name}' was compiled with the loss "
            f"{model.loss!r}. Received: y=None. Pass `y`, or batches `(x, y)`."
        )
