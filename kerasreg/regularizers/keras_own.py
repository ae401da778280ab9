"""Conversion of Keras' regularizers to those with a proximal operator."""

import keras

from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.elementwise import L1, L1L2, L2

_OURS = {
    keras.regularizers.L1: L1,
    keras.regularizers.L2: L2,
    keras.regularizers.L1L2: L1L2,
}


def with_prox(regularizer):
    """Returns the regularizer with a proximal operator, or None.

    Keras' `L1`, `L2` and `L1L2` are converted to the classes of the same name in kerasreg.
    """
    if isinstance(regularizer, Regularizer):
        return regularizer
    for theirs, ours in _OURS.items():
        # A subclass that overrides `__call__` is another penalty.
        if isinstance(regularizer, theirs) and type(regularizer).__call__ is theirs.__call__:
            return ours(**theirs.get_config(regularizer))
    return None
