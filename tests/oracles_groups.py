"""References of group penalties; minimisers by bisection or brute force, group by group."""

import numpy as np
from oracles import Case, ratio, soft, sum_by
from oracles_nonconvex import mcp, scad


def linfinity1(arguments, groups):
    """`factor sum_g max|w_g|`."""
    groups, factor = np.asarray(groups), arguments["factor"]

    def prox(z, t):
        # A group is clipped at one level, at which the slope is zero; the slope grows with it.
        def slope(s):
            return factor - np.sum(ratio(np.maximum(abs(z) - s, 0), t))

        return np.clip(z, -(s := _root(slope, abs(z).max())), s) if slope(0) < 0 else 0 * z

    return Case(
        "LInfinity1",
        arguments,
        groups.shape,
        groups,
        value=lambda w: factor * sum(np.max(abs(w[members])) for members in _each(groups)),
        prox=lambda z, t: _by_group(groups, prox, z, t),
        margin=lambda z, t: ratio(sum_by(groups, ratio(abs(z), t)), factor)[groups],
    )


def exclusive_lasso(arguments, groups):
    """`factor sum_g (sum |w_g|)^2`."""
    groups, factor = np.asarray(groups), arguments["factor"]

    def prox(z, t):
        # For a fixed sum of a group its weights are independent, and their sum falls with it.
        def excess(total):
            return total - np.sum(abs(soft(z, 2 * factor * t * total)))

        return soft(z, 2 * factor * t * _root(excess, np.sum(abs(z))))

    def margin(z, t):
        total = sum_by(groups, abs(_by_group(groups, prox, z, t)))[groups]
        return ratio(abs(z), 2 * factor * t * total)

    return Case(
        "ExclusiveLasso",
        arguments,
        groups.shape,
        groups,
        value=lambda w: factor * np.sum(sum_by(groups, abs(w)) ** 2),
        prox=lambda z, t: _by_group(groups, prox, z, t),
        margin=margin,
    )


def group_l0(arguments, groups):
    """`factor` times the number of groups that are not zero."""
    groups, factor = np.asarray(groups), arguments["factor"]

    def price(w):
        return factor * np.any(w != 0) + np.sum(0 * w)

    def prox(z, t):
        kept = price(z)
        return z if kept < np.sum(ratio(z**2, 2 * t)) else 0 * z

    def margin(z, t):
        # The price of a weight is infinite for t = 0, but hardware may flush denormals to zero.
        price = np.where((z != 0) & (abs(z) < 1e-37), np.nan, ratio(z**2, 2 * t))
        return np.sqrt(ratio(sum_by(groups, price), factor))[groups]

    return Case(
        "GroupL0",
        arguments,
        groups.shape,
        groups,
        value=lambda w: sum(price(w[members]) for members in _each(groups)),
        prox=lambda z, t: _by_group(groups, prox, z, t),
        margin=margin,
        convex=False,
    )


def group_mcp(arguments, groups):
    """`sum_g mcp(||w_g||)` with `factor sqrt(d_g)`."""
    return _of_norms("GroupMCP", mcp, arguments, groups)


def group_scad(arguments, groups):
    """`sum_g scad(||w_g||)` with `factor sqrt(d_g)`."""
    return _of_norms("GroupSCAD", scad, arguments, groups)


def _of_norms(name, penalty, arguments, groups):
    groups = np.asarray(groups)
    factor = arguments["factor"] * np.sqrt(np.bincount(groups.ravel())[0])
    scalar = penalty({**arguments, "factor": factor})
    first = np.unique(groups, return_index=True)[1]

    def norms(w):
        return np.sqrt(sum_by(groups, w**2))

    def prox(z, t):
        new = scalar.prox(norms(z), t.ravel()[first])
        return z * ratio(new, norms(z))[groups]

    return Case(
        name,
        arguments,
        groups.shape,
        groups,
        value=lambda w: scalar.value(norms(w)),
        prox=prox,
        margin=lambda z, t: scalar.margin(norms(z), t.ravel()[first])[groups],
        convex=False,
        steps="group" if len(first) < groups.size else "weight",
    )


def _each(groups):
    return [groups == label for label in np.unique(groups)]


def _by_group(groups, prox, z, t):
    x = np.zeros(z.shape)
    for members in _each(groups):
        x[members] = prox(z[members], t[members])
    return x


def _root(increasing, high):
    """Returns the root between 0 and `high`."""
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if increasing(middle) > 0 else (middle, high)
    return high
