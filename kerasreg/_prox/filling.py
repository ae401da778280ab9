"""The equation that the maximum norm, exclusive lasso, L1 ball and simplex have in common."""

from keras import ops

from kerasreg._prox.axes import rows

NEWTON_STEPS = 2


def fill(z, t, volume, slope, axes):
    """`(x, s)` with `x_i = max(z_i - t_i s, 0)`, where `s` solves `sum_i x_i = volume + slope s`.

    One equation for each group: what remains of `z` when all axes but `axes` are fixed. Needs
    `volume + slope > 0` and `t + slope > 0`, both not negative. Exact, by sorting.
    """

    def total(x):
        return ops.sum(x, axis=axes, keepdims=True)

    # What the equation gives for a part of the weights is below `s`. From the best of all single
    # weights and of the whole, no `x` is above the sum that is sought: large `z` lose no digits.
    alone = (z - volume) / (t + slope)
    start = ops.max(alone, axis=axes, keepdims=True)
    together = (total(z) - volume) / (total(t) + slope)
    start = ops.where(together > start, together, start)
    volume = volume + slope * start
    rest = z - t * start
    rest = ops.where(ops.logical_or(alone == start, rest > volume), volume, rest)

    # Of the parts, the best are the first in the order in which they come out of the water.
    key = ops.where(rest > 0, rest / t, ops.zeros_like(rest))
    order = ops.argsort(-rows(key, axes), axis=-1)
    sums = _sums(rest, order, axes) - rows(volume, axes)
    more = ops.max(sums / (_sums(t, order, axes) + slope), axis=-1)
    more = ops.reshape(more, start.shape)

    # Newton takes away the rounding of the running sums, which are float32 on torch.
    for _ in range(NEWTON_STEPS):
        x = ops.relu(rest - t * more)
        excess = total(x) - volume - slope * more
        speed = total(ops.where(x > 0, t, ops.zeros_like(t))) + slope
        more = more + excess / ops.where(speed == 0, ops.ones_like(speed), speed)
    return ops.relu(rest - t * more), start + more


def signed(x, z):
    """Returns `x >= 0` with the signs of `z`, without -0.0; non-finite values of `z` stay."""
    x = ops.where(x == 0, ops.zeros_like(x), ops.sign(z) * x)
    return ops.where(ops.isfinite(z), x, z)


def _sums(x, order, axes):
    return ops.cumsum(ops.take_along_axis(rows(x, axes), order, axis=-1), axis=-1)
