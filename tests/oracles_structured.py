"""References of penalties of neighbours, of sorted weights and of singular values."""

from fractions import Fraction
from statistics import NormalDist

import numpy as np
from oracles import Case, elementwise, on_a_grid, ratio


def fused(name, arguments, shape, l1, variation):
    """`l1 sum |w| + variation sum |w_{i+1} - w_i|` along an axis."""
    axis = arguments.get("axis", 0)

    def value(w):
        return l1 * np.sum(np.abs(w)) + variation * np.sum(np.abs(np.diff(w, axis=axis)))

    def prox(z, t):
        lines = [np.moveaxis(each, axis, 0).reshape(shape[axis], -1).T for each in (z, t)]
        x = np.array([_fused_line(*line, l1, variation) for line in zip(*lines, strict=True)])
        front = np.moveaxis(np.empty(shape), axis, 0).shape
        return np.moveaxis(x.T.reshape(front), 0, axis)

    labels = np.arange(np.prod(shape) // shape[axis])
    labels = labels.reshape(np.delete(np.array(shape), axis))
    groups = np.broadcast_to(np.expand_dims(labels, axis), shape).copy()
    if not variation:
        return elementwise(
            name, arguments, lambda x: l1 * abs(x), lambda z, t: ratio(abs(z), l1 * t), shape
        )
    slope = l1 + 2 * variation
    return Case(name, arguments, shape, groups, value, prox, shrinks=False, slope=slope)


def _fused_line(z, t, l1, variation):
    """Dynamic programming (Johnson, 2013) in rational numbers: exact for any steps.

    The minimum over the weights before i is a function of `x_i` with a piecewise linear slope. It
    is stored as the first piece and the changes at its knots, in order.
    """
    # A step of 0 is replaced by a tiny one.
    z = [Fraction(float(each)) for each in z]
    t = [Fraction(float(each)) or Fraction(1, 10**80) for each in t]
    l1, variation = Fraction(l1), Fraction(variation)
    first, knots, limits = (Fraction(0), Fraction(0)), [], []
    for i, (zi, ti) in enumerate(zip(z, t, strict=True)):
        first = (first[0] + 1 / ti, first[1] - zi / ti - l1)
        knots = _sorted([*knots, (Fraction(0), Fraction(0), 2 * l1)])
        if i == len(z) - 1:
            break
        low, before, rising = _where_slope_is(-variation, first, knots)
        high, after, falling = _where_slope_is(variation, first, knots)
        limits.append((low, high))
        knots = [
            (low, rising[0], rising[1] + variation),
            *knots[before:after],
            (high, -falling[0], variation - falling[1]),
        ]
        first = (Fraction(0), -variation)
    x, _, _ = _where_slope_is(Fraction(0), first, knots)
    line = [x]
    for low, high in reversed(limits):
        line.append(min(max(line[-1], low), high))
    return np.array([float(x) for x in reversed(line)])


def _sorted(knots):
    """Returns the knots in order; those at one place are merged."""
    merged = {}
    for x, slope, offset in knots:
        before = merged.get(x, (0, 0))
        merged[x] = (before[0] + slope, before[1] + offset)
    return [(x, *change) for x, change in sorted(merged.items())]


def _where_slope_is(target, piece, knots):
    """Returns `(x, number of knots before x, piece at x)` where the slope reaches the target."""
    previous = None
    for count, (knot, *change) in enumerate([*knots, (None, 0, 0)]):
        slope, offset = piece
        x = (target - offset) / slope
        if previous is not None and x < previous:
            x = previous
        if knot is None or x <= knot:
            return x, count, piece
        piece, previous = (slope + change[0], offset + change[1]), knot
    raise AssertionError


def slope(arguments, shape):
    """`factor sum_k omega_k |w|_(k)`."""
    size = np.prod(shape, dtype=int)
    if arguments.get("sequence") == "linear":
        omega = np.array([1 - (1 - arguments["last"]) * k / max(size - 1, 1) for k in range(size)])
    else:
        q = arguments.get("q", 0.1)
        quantile = NormalDist().inv_cdf
        omega = np.array([quantile(1 - k * q / (2 * size)) for k in range(1, size + 1)])
        omega /= omega[0]
    omega = arguments["factor"] * omega

    def value(w):
        return np.sum(omega * np.sort(np.abs(w), axis=None)[::-1])

    def prox(z, t):
        # Isotonic regression by its min-max formula (Robertson et al., 1988).
        order = np.argsort(-np.abs(z), axis=None, kind="stable")
        y = np.abs(z).ravel()[order] - t.ravel()[0] * omega
        level = [
            min(max(y[a : b + 1].mean() for b in range(k, size)) for a in range(k + 1))
            for k in range(size)
        ]
        x = np.empty(size)
        x[order] = np.maximum(level, 0)
        return np.sign(z) * x.reshape(shape)

    def margin(z, t):
        largest = np.cumsum(np.sort(np.abs(z), axis=None)[::-1])
        return np.full(shape, np.max(ratio(largest, t.ravel()[0] * np.cumsum(omega))))

    groups = np.zeros(shape, int)
    return Case("SLOPE", arguments, shape, groups, value, prox, margin, steps="one")


def spectral(name, arguments, shape, penalty, count):
    """A sum over singular values of the matrix with one column per index of `axis`."""
    axis = arguments.get("axis", -1)
    axes = [each % len(shape) for each in (axis if isinstance(axis, tuple) else (axis,))]
    order = [each for each in range(len(shape)) if each not in axes] + axes

    def matrix(w):
        columns = np.prod([shape[each] for each in axes])
        return np.transpose(w, order).reshape(-1, columns)

    def value(w):
        values = np.linalg.svd(matrix(w), compute_uv=False)
        if count:
            values = np.where(values > 16 * _epsilon(w) * values.max(), values, 0)
        return np.sum(penalty(values))

    def prox(z, t):
        # The singular vectors are those of z (von Neumann); singular values by brute force.
        left, values, right = np.linalg.svd(matrix(z), full_matrices=False)
        x = left * on_a_grid(penalty, values, np.full(values.shape, t.ravel()[0])) @ right
        x = x.reshape([shape[each] for each in order])
        return np.where(t == 0, z, np.transpose(x, np.argsort(order)))

    def margin(z, t):
        largest = np.linalg.svd(matrix(z), compute_uv=False).max()
        limit = arguments["factor"] * t
        return ratio(np.full(shape, largest), np.sqrt(2 * limit) if count else limit)

    return Case(
        name,
        arguments,
        shape,
        np.zeros(shape, int),
        value,
        prox,
        margin,
        convex=not count,
        steps="one",
        shrinks=False,
        size=lambda w: np.full(shape, np.linalg.norm(w)),
    )


def _epsilon(w):
    """Returns the rounding of the dtype that these numbers were in."""
    mantissa, _ = np.frexp(w)
    for bits in (8, 11, 24):
        if (mantissa * 2**bits % 1 == 0).all():
            return 2.0**-bits
    return 2.0**-53


def nuclear(arguments, shape):
    return spectral("NuclearNorm", arguments, shape, lambda s: arguments["factor"] * s, False)


def rank(arguments, shape):
    return spectral("Rank", arguments, shape, lambda s: arguments["factor"] * (s != 0), True)
