"""Parallel prefix composition along the first axis."""

from keras import ops


def prefix(compose, parts):
    """Returns `p_0`, `p_0 then p_1`, `p_0 then p_1 then p_2`, ... (Hillis & Steele, 1986).

    The loop replaces `ops.associative_scan`, which takes seconds to compile with XLA and returns
    float32 for every dtype on torch.

    Args:
        compose: associative function `(first, then)` of two lists like `parts`.
        parts: list of arrays of the same shape. Their first axis is the index of the element `p_i`.
    """
    size, rank = parts[0].shape[0], len(parts[0].shape)
    index = ops.arange(size, dtype="int32")

    def double(reach, *parts):
        before = ops.maximum(index - reach, 0 * index)
        composed = compose([ops.take(part, before, axis=0) for part in parts], parts)
        complete = ops.reshape(index < reach, (size,) + (1,) * (rank - 1))
        parts = [ops.where(complete, *pair) for pair in zip(parts, composed, strict=True)]
        return (2 * reach, *parts)

    start = (ops.ones((), "int32"), *parts)
    return ops.while_loop(lambda reach, *_: reach < size, double, start)[1:]
