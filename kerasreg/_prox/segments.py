"""Sums over blocks of elements."""

import keras
from keras import ops


def block_sum(x, block):
    """For each element of the vector `x`, the sum over its block: the elements of its number."""
    size = x.shape[0]
    if keras.backend.backend() == "torch":
        # `ops.segment_sum` adds in float32 there.
        sums = ops.zeros((size,), dtype=x.dtype).index_add(0, block, x)
    else:
        sums = ops.segment_sum(x, block, num_segments=size)
    return ops.take(sums, block)
