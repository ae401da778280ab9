"""The equation behind the operators of the maximum norm, exclusive lasso, L1 ball and simplex."""

from keras import ops

from kerasreg._prox.once import compiled_once

MOST_STEPS = 200


@compiled_once("axes")
def fill(z, t, volume, slope, axes):
    """Solves `sum_i x_i = volume + slope s` with `x_i = max(z_i - t_i s, 0)` for `s`.

    There is one equation for each group: a slice of `z` along `axes`, with fixed indices along the
    other axes. `volume`, `slope` and `t` must be non-negative, with `volume + slope > 0` and
    `t + slope > 0`.

    Returns:
        `(x, s)`.
    """

    def total(x):
        return ops.sum(x, axis=axes, keepdims=True)

    def bound(z, volume):
        """Returns `(lower bounds of s of single weights, the largest of them and of the group)`."""
        alone = (z - volume) / (t + slope)
        together = (total(z) - volume) / (total(t) + slope)
        largest = ops.max(alone, axis=axes, keepdims=True)
        return alone, ops.where(together > largest, together, largest)

    # The solution for a subset of the weights is a lower bound of `s`. With the bound as origin, no
    # `x` exceeds the sum, so that large `z` lose no digits.
    alone, start = bound(z, volume)
    volume = volume + slope * start
    rest = z - t * start
    rest = ops.where(ops.logical_or(alone == start, rest > volume), volume, rest)

    def closer(more):
        x = ops.relu(rest - t * more)
        excess = total(x) - volume - slope * more
        speed = total(ops.where(x > 0, t, ops.zeros_like(t))) + slope
        return more + excess / ops.where(speed == 0, ops.ones_like(speed), speed)

    def increased(more):
        following = closer(more)
        return ops.where(following > more, following, more)

    # The equation is convex and piecewise linear. Newton's method increases `s` until the weights
    # with `x > 0` do not change: mostly 2 to 10 steps, 33 for weights that halve each time.
    _, more = bound(rest, volume)
    more, _ = ops.while_loop(
        lambda more, before: ops.any(more > before),
        lambda more, before: (increased(more), more),
        (increased(more), more),
        maximum_iterations=MOST_STEPS,
    )
    # The last step corrects rounding.
    more = closer(more)
    return ops.relu(rest - t * more), start + more


def signed(x, z):
    """Returns `x >= 0` with the signs of `z`, without -0.0, and non-finite values as in `z`."""
    x = ops.where(x == 0, ops.zeros_like(x), ops.sign(z) * x)
    return ops.where(ops.isfinite(z), x, z)
