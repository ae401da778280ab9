"""The equation behind the operators of the maximum norm, exclusive lasso, L1 ball and simplex."""

from keras import ops

from kerasreg._prox.axes import rows

NEWTON_STEPS = 2


def fill(z, t, volume, slope, axes):
    """Solves `sum_i x_i = volume + slope s` with `x_i = max(z_i - t_i s, 0)` for `s`.

    There is one equation for each group: a slice of `z` along `axes`, with fixed indices along the
    other axes. The solution is exact, by sorting. `volume`, `slope` and `t` must be non-negative,
    with `volume + slope > 0` and `t + slope > 0`.

    Returns:
        `(x, s)`.
    """

    def total(x):
        return ops.sum(x, axis=axes, keepdims=True)

    # The solution for a subset of the weights is a lower bound of `s`. `start` is the largest bound
    # of all single weights and the whole group. With it, no `x` exceeds the sum, so that large `z`
    # lose no digits.
    alone = (z - volume) / (t + slope)
    start = ops.max(alone, axis=axes, keepdims=True)
    together = (total(z) - volume) / (total(t) + slope)
    start = ops.where(together > start, together, start)
    volume = volume + slope * start
    rest = z - t * start
    rest = ops.where(ops.logical_or(alone == start, rest > volume), volume, rest)

    # The best subset consists of the first weights in descending order of `rest / t`, the increase
    # of `s` at which `x` becomes zero.
    key = ops.where(rest > 0, rest / t, ops.zeros_like(rest))
    order = ops.argsort(-rows(key, axes), axis=-1)
    sums = _sums(rest, order, axes) - rows(volume, axes)
    more = ops.max(sums / (_sums(t, order, axes) + slope), axis=-1)
    more = ops.reshape(more, start.shape)

    # Newton steps remove the rounding error of the cumulative sums, which are float32 on torch.
    for _ in range(NEWTON_STEPS):
        x = ops.relu(rest - t * more)
        excess = total(x) - volume - slope * more
        speed = total(ops.where(x > 0, t, ops.zeros_like(t))) + slope
        more = more + excess / ops.where(speed == 0, ops.ones_like(speed), speed)
    return ops.relu(rest - t * more), start + more


def signed(x, z):
    """Returns `x >= 0` with the signs of `z`, without -0.0, and non-finite values as in `z`."""
    x = ops.where(x == 0, ops.zeros_like(x), ops.sign(z) * x)
    return ops.where(ops.isfinite(z), x, z)


def _sums(x, order, axes):
    return ops.cumsum(ops.take_along_axis(rows(x, axes), order, axis=-1), axis=-1)
