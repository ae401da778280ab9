"""Transfer of the penalties of a model to its shrunk copy."""

import keras

from kerasreg._attach.attach import put
from kerasreg._attach.record import recorded
from kerasreg._common.warn import warn
from kerasreg._train_step import plain
from kerasreg.regularizers.base import Penalty


def carry_penalties(model: keras.Model, pairs) -> None:
    """Gives the variables of a shrunk copy the regularizers of the original.

    Most regularizers are copied with the configs of the layers. This sets the others: those that
    no config contains, and those with an array of the shape of the old weights.

    Args:
        model: the copy.
        pairs: `(old variable, new variable, moved, cut)`. Both functions take an array of the
            shape of the old weights. `moved` transforms it as the old weights were transformed
            into the new ones; `cut` only selects the part that stays.
    """
    regularizers, lost = [], {}
    for old, new, moved, cut in pairs:
        own = plain(old.regularizer)
        try:
            wanted = own.for_part(moved, cut) if isinstance(own, Penalty) else own
            if wanted is not None and tuple(new.shape) != tuple(old.shape):
                wanted(new)
        except Exception as error:  # A custom regularizer may raise any exception.
            first_line = next(iter(str(error).splitlines()), "")
            wanted, lost[old.path] = None, f"{type(error).__name__}: {first_line}"
        if recorded(old) is not None or not _is_same(wanted, new.regularizer):
            regularizers.append((new, wanted))
    if regularizers:
        put(model, regularizers)
    if lost:
        warn(
            "The shrunk model has no penalty on variables for which the regularizer of the "
            f"original cannot be computed in the new shape: {lost}. Attach a regularizer for the "
            "new shapes with `kerasreg.attach`."
        )


def _is_same(one, other):
    if one is other or type(one) is not type(other):
        return one is other
    try:
        return one.get_config() == other.get_config()
    except (AttributeError, NotImplementedError):
        return one == other
