"""Current learning rates of an optimizer, and replacements for rates that decayed to zero."""

import contextlib
from collections.abc import Iterator, Mapping

import keras
import numpy as np
from keras import ops

from kerasreg._train_step import UpdateHook

_SAMPLES = 64


def positive_rates(optimizer: keras.optimizers.Optimizer) -> dict[int, float]:
    """Returns `{id(plain optimizer): learning rate}` for current learning rates above zero."""
    rates = {id(part): _rate(part) for part in _parts(optimizer)}
    return {key: rate for key, rate in rates.items() if rate > 0}


@contextlib.contextmanager
def without_zero_rates(
    optimizer: keras.optimizers.Optimizer, last: Mapping[int, float]
) -> Iterator[None]:
    """Context manager in which learning rates that are currently zero are replaced.

    The replacement is the rate in `last`, or the mean of the schedule so far. Without either, the
    rate is still zero.

    Args:
        optimizer: a built optimizer.
        last: the result of an earlier `positive_rates`.
    """
    patched = []
    for part in _parts(optimizer):
        rate = 0.0 if _rate(part) > 0 else last.get(id(part)) or _mean_of_schedule(part)
        if rate > 0:
            part.__dict__["_get_current_learning_rate"] = lambda rate=rate: rate
            patched.append(part)
    try:
        yield
    finally:
        for part in patched:
            part.__dict__.pop("_get_current_learning_rate")


def _parts(optimizer):
    hook = UpdateHook.of(optimizer)
    hook.release()
    return hook.parts


def _rate(part):
    return float(ops.convert_to_numpy(part.learning_rate))


def _mean_of_schedule(part):
    schedule = part._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return 0.0
    done = int(ops.convert_to_numpy(part.iterations))
    steps = np.unique(np.linspace(0, done, _SAMPLES).astype(int))
    rates = [float(ops.convert_to_numpy(schedule(ops.convert_to_tensor(s)))) for s in steps]
    return float(np.mean(rates))
