"""Keeps the values of the penalties when a model becomes smaller."""

import numpy as np
from keras import ops

from kerasreg._attach.attach import put
from kerasreg._common.texts import listed
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._train_step import plain
from kerasreg.regularizers.base import Penalty

#: The relative change in the value of a penalty that is attributed to rounding.
_ROUNDING = 1e-4


def keep_objective(small, twins):
    """Adjusts the factors of penalties that depend on group sizes, so that their values stay equal.

    It warns about regularizers whose values change nevertheless.

    Args:
        small: the smaller model.
        twins: list of the items of `Rebuild.twins()`.
    """
    regularizers, changed = [], []
    for old, new, _, cut in twins:
        own, now = plain(old.regularizer), plain(new.regularizer)
        if own is None or now is None or tuple(old.shape) == tuple(new.shape):
            continue
        if isinstance(now, Penalty):
            kept = now.with_price_of(tuple(old.shape), tuple(new.shape))
            if kept is not now:
                regularizers.append((new, kept))
                now = kept
        if _is_other(own, now, old, new, cut):
            changed.append(new.path)
    if regularizers:
        put(small, regularizers)
    if changed:
        warn(
            "`kerasreg.fit_and_shrink` cannot keep the values of all regularizers. Regularizers of "
            f"{listed(changed)} depend on the number of weights, so their values changed when "
            "units were removed. Use other regularizers there, or train with `fit` and then use "
            "`kerasreg.shrink`."
        )


def _is_other(own, now, old, new, cut):
    """Returns whether a penalty has a different value for the remaining weights."""
    indices = cut(np.arange(int(np.prod(old.shape))).reshape(old.shape))
    left = np.zeros(int(np.prod(old.shape)), host_view(old).dtype)
    left[indices] = host_view(old).reshape(-1)[indices]
    try:
        before = float(ops.convert_to_numpy(own(ops.convert_to_tensor(left.reshape(old.shape)))))
        after = float(ops.convert_to_numpy(now(new)))
    except Exception:  # A custom regularizer may raise any exception.
        return True
    return abs(before - after) > _ROUNDING * max(abs(before), abs(after))
