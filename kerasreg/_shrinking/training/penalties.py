"""The penalties of a smaller model, with the value that they had before."""

import numpy as np
from keras import ops

from kerasreg._attach.attach import put
from kerasreg._common.texts import listed
from kerasreg._common.warn import warn
from kerasreg._graph.variables import host_view
from kerasreg._train_step import plain
from kerasreg.regularizers.base import Penalty

#: By which fraction the value of a penalty may change: rounding.
_ROUNDING = 1e-4


def keep_objective(small, twins):
    """Give penalties that depend on the size of a group the factor that leaves them as they were.

    Args:
        small: the smaller model.
        twins: those of `Rebuild`.
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
            "`kerasreg.fit_and_shrink` trains the penalty as it was written. The value of the "
            f"regularizers of {listed(changed)} depends on how many weights there are, and it is "
            "that of fewer weights now. Use another penalty there, or shrink after the training."
        )


def _is_other(own, now, old, new, cut):
    """Whether a penalty has another value for the weights that are left."""
    indices = cut(np.arange(int(np.prod(old.shape))).reshape(old.shape))
    left = np.zeros(int(np.prod(old.shape)), host_view(old).dtype)
    left[indices] = host_view(old).reshape(-1)[indices]
    try:
        before = float(ops.convert_to_numpy(own(ops.convert_to_tensor(left.reshape(old.shape)))))
        after = float(ops.convert_to_numpy(now(new)))
    except Exception:  # A function of the user raises whatever it likes.
        return True
    return abs(before - after) > _ROUNDING * max(abs(before), abs(after))
