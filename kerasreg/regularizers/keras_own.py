"""Keras' own regularizers, read as ours."""

import keras

from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.elementwise import L1, L1L2, L2

_OURS = {
    keras.regularizers.L1: L1,
    keras.regularizers.L2: L2,
    keras.regularizers.L1L2: L1L2,
}


def with_prox(regularizer):
    """The penalty with a prox, or None: for Keras' `L1`, `L2`, `L1L2`, the same one of ours."""
    if isinstance(regularizer, Regularizer):
        return regularizer
    for theirs, ours in _OURS.items():
        # A subclass that computes something else is something else.
        if isinstance(regularizer, theirs) and type(regularizer).__call__ is theirs.__call__:
            return ours(**theirs.get_config(regularizer))
    return None
