"""Sums over blocks of elements."""

import keras
from keras import ops


def block_sum(x, block):
    """Returns, for each element of the vector `x`, the sum of the elements with equal `block`."""
    size = x.shape[0]
    if keras.backend.backend() == "torch":
        # On torch, `ops.segment_sum` adds in float32.
        sums = ops.zeros((size,), dtype=x.dtype).index_add(0, block, x)
    else:
        sums = ops.segment_sum(x, block, num_segments=size)
    return ops.take(sums, block)
