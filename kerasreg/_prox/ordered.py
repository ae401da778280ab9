"""The proximal operator of SLOPE (sorted L1 norm)."""

from keras import ops

from kerasreg._prox.once import compiled_once
from kerasreg._prox.segments import block_sum


@compiled_once()
def sorted_threshold(z, threshold, omega):
    """`argmin_x  threshold sum_k omega_k |x|_(k) + ||x - z||^2 / 2`, `|x|_(1)` the largest.

    `omega` is non-increasing and non-negative, and `threshold` is a scalar. The algorithm sorts
    `|z|`, subtracts the thresholds, and pools neighbouring blocks in which the values increase
    (Bogdan et al., 2015). The result does not depend on the order of pooling, so each round pools
    all such blocks.
    """
    flat = ops.reshape(z, (-1,))
    size = ops.abs(flat)
    order = ops.argsort(-size)
    # Avoids infinity - infinity for an infinite threshold.
    target = ops.take(size, order) - ops.clip(threshold, 0.0, 1e30) * omega
    inner = ops.arange(flat.shape[0], dtype="int32") > 0

    def pool(level, begins, _):
        rises = ops.logical_and(level > ops.roll(level, 1), ops.logical_and(begins, inner))
        begins = ops.logical_and(begins, ops.logical_not(rises))
        return _means(target, begins), begins, ops.any(rises)

    start = (target, ops.ones_like(inner), ops.ones((), "bool"))
    level, _, _ = ops.while_loop(lambda level, begins, pooled: pooled, pool, start)
    # `ops.scatter` is a Python loop on torch.
    x = ops.scatter_update(ops.zeros_like(flat), order[:, None], ops.relu(level))
    x = ops.where(x == 0, ops.zeros_like(x), x * ops.sign(flat))
    return ops.reshape(ops.where(ops.isfinite(flat), x, flat), z.shape)


def _means(x, begins):
    """Returns, for each element, the mean of its block."""
    block = ops.cumsum(ops.cast(begins, "int32")) - 1
    count = block_sum(ops.ones_like(x), block)
    mean = block_sum(x, block) / count
    # Corrects the rounding error in the sum of a large block.
    return mean + block_sum(x - mean, block) / count
