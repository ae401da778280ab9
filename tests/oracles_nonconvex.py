"""References of nonconvex penalties of single weights: brute force among all minimisers."""

from dataclasses import replace

import numpy as np
from oracles import elementwise, ratio

#: Intervals of `x / z`, fine near 0. Each contains at most one minimum.
_PARTS = np.concatenate([[0], 10.0 ** np.arange(-8, -2), np.linspace(0.01, 1, 20)])


def nonconvex(name, arguments, penalty, shape=(3, 4)):
    """A sum over weights of `penalty(weight)`, which is even, and concave in the weight's size."""

    def margin(z, t):
        return ratio(abs(z), np.where(t > 0, _threshold(penalty, t), 0))

    case = elementwise(name, arguments, penalty, margin, shape, convex=False)
    return replace(case, prox=lambda z, t: _best_of_all_parts(penalty, z, t))


def _best_of_all_parts(penalty, z, t):
    """Returns the minimiser between 0 and z: a grid in each part, refined around its best point."""

    def objective(share):
        return t * penalty(share * z) + (share - 1) ** 2 * z**2 / 2

    low, high = (np.multiply.outer(ends, np.ones(z.shape)) for ends in (_PARTS[:-1], _PARTS[1:]))
    start, end = low, high
    for _ in range(13):
        share = np.linspace(low, high, 25)
        best = _best(share, objective)
        width = (high - low) / 24
        low, high = np.maximum(best - width, start), np.minimum(best + width, end)
    return np.where(t == 0, z, _best(best, objective) * z)


def _threshold(penalty, t):
    """Returns `min_x  t penalty(x) / x + x / 2`, up to which 0 is the minimiser."""
    low, high = np.full(np.shape(t), -30.0), np.full(np.shape(t), 30.0)
    for _ in range(9):
        exponent = np.linspace(low, high, 1001)
        best = _best(exponent, lambda e: t * penalty(10.0**e) / 10.0**e + 10.0**e / 2)
        width = (high - low) / 1000
        low, high = best - width, best + width
    return t * penalty(10.0**best) / 10.0**best + 10.0**best / 2


def _best(points, objective):
    """Returns the point along the first axis with the lowest objective."""
    lowest = np.argmin(objective(points), axis=0)
    return np.take_along_axis(points, lowest[None], axis=0)[0]


def mcp(arguments, shape=(3, 4)):
    factor, gamma = arguments["factor"], arguments["gamma"]

    def penalty(x):
        small = factor * abs(x) - x**2 / (2 * gamma)
        return np.where(abs(x) <= gamma * factor, small, gamma * factor**2 / 2)

    return nonconvex("MCP", arguments, penalty, shape)


def scad(arguments, shape=(3, 4)):
    factor, a = arguments["factor"], arguments["a"]

    def penalty(x):
        size = abs(x)
        middle = (2 * a * factor * size - x**2 - factor**2) / (2 * (a - 1))
        rising = np.where(size <= factor, factor * size, middle)
        return np.where(size <= a * factor, rising, factor**2 * (a + 1) / 2)

    return nonconvex("SCAD", arguments, penalty, shape)


def capped_l1(arguments, shape=(3, 4)):
    factor, theta = arguments["factor"], arguments["theta"]
    return nonconvex("CappedL1", arguments, lambda x: factor * np.minimum(abs(x), theta), shape)


def l0(arguments, shape=(3, 4)):
    def penalty(x):
        return np.where(np.isfinite(x), arguments["factor"] * (x != 0), np.nan)

    return nonconvex("L0", arguments, penalty, shape)


def lp(arguments, shape=(3, 4)):
    factor, p = arguments["factor"], arguments["p"]
    return nonconvex("Lp", arguments, lambda x: factor * abs(x) ** p, shape)


def log_sum(arguments, shape=(3, 4)):
    factor, epsilon = arguments["factor"], arguments["epsilon"]
    return nonconvex("LogSum", arguments, lambda x: factor * np.log1p(abs(x) / epsilon), shape)


def transformed_l1(arguments, shape=(3, 4)):
    factor, a = arguments["factor"], arguments["a"]

    def penalty(x):
        return factor * (a + 1) * abs(x) / (a + abs(x))

    return nonconvex("TransformedL1", arguments, penalty, shape)
