"""The weights of a variable, for scores."""

import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view


def float_weights(variable):
    """Returns the weights as an array of at least float32.

    Raises:
        ValueError: for NaN or infinite weights.
    """
    weights = host_view(variable)
    if weights.itemsize < 4:
        weights = np.asarray(ops.convert_to_numpy(ops.cast(variable, "float32")))
    if weights.size and not np.isfinite([weights.min(), weights.max()]).all():
        raise ValueError(
            f"Pruning needs finite weights. Received: NaN or infinite weights in "
            f"'{variable.path}'. Lower the learning rate, or restore an earlier checkpoint."
        )
    return weights
