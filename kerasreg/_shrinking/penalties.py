"""The penalties of a model on its smaller copy."""

import keras

from kerasreg._attach.attach import put
from kerasreg._attach.record import recorded
from kerasreg._common.warn import warn
from kerasreg._train_step import plain
from kerasreg.regularizers.base import Penalty


def carry_penalties(model: keras.Model, pairs) -> None:
    """Give the variables of a smaller copy the regularizers of the original.

    The configs of layers bring most of them. This sets the others: those that no config holds, and
    those with an array of the shape of the old weights.

    Args:
        model: the copy.
        pairs: `(old variable, new variable, moved, cut)`. `moved` maps an array like the old
            weights as these are mapped to the new ones; `cut` only takes the part that stays.
    """
    regularizers, lost = [], {}
    for old, new, moved, cut in pairs:
        own = plain(old.regularizer)
        try:
            wanted = own.for_part(moved, cut) if isinstance(own, Penalty) else own
            if wanted is not None and tuple(new.shape) != tuple(old.shape):
                wanted(new)
        except Exception as error:  # A function of the user raises whatever it likes.
            first_line = next(iter(str(error).splitlines()), "")
            wanted, lost[old.path] = None, f"{type(error).__name__}: {first_line}"
        if recorded(old) is not None or not _is_same(wanted, new.regularizer):
            regularizers.append((new, wanted))
    if regularizers:
        put(model, regularizers)
    if lost:
        warn(
            "The smaller model has no penalty where the regularizer of the original cannot be "
            f"computed for fewer weights: {lost}. Use `kerasreg.attach` with one for the new "
            "shapes."
        )


def _is_same(one, other):
    if one is other or type(one) is not type(other):
        return one is other
    try:
        return one.get_config() == other.get_config()
    except (AttributeError, NotImplementedError):
        return one == other
