"""Reference implementations of penalties and of their prox, in float64 NumPy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """One penalty with its arguments, and a definition independent of the package.

    Attributes:
        groups: Labels. Weights with different labels are independent.
        prox: `prox(z, t)`, by brute force or by an independent solver. None for a penalty without a
            prox.
        margin: `margin(z, t)` is the left side divided by the right side of the condition for zero:
            at most 1 where the prox is zero.
        steps: The finest step sizes that the prox supports: one per "weight", one per "group", or
            "one" for all.
        shrinks: Whether the prox keeps signs, makes no weight larger, and makes all zero for an
            infinite step.
        size: Rounding errors are relative to `size(z)`.
        allowed: `allowed(w)` are the weights nearest to `w` that the prox can return.
        slope: The largest slope of the penalty at a weight, if it is a sum of several slopes.
    """

    name: str
    arguments: dict
    shape: tuple
    groups: np.ndarray
    value: Callable
    prox: Callable | None
    margin: Callable | None = None
    convex: bool = True
    steps: str = "weight"
    shrinks: bool = True
    size: Callable = np.abs
    allowed: Callable = lambda w: w
    slope: float = 0.0

    def __str__(self):
        def text(value):
            return "array" if isinstance(value, dict) else value

        arguments = ",".join(f"{name}={text(value)}" for name, value in self.arguments.items())
        return f"{self.name}({arguments}) on {self.shape}"


def elementwise(name, arguments, penalty, margin, shape=(3, 4), **kwargs):
    """A sum over weights of `penalty(weight)`, which is even and grows with the size."""
    return Case(
        name,
        arguments,
        shape,
        groups=np.arange(np.prod(shape, dtype=int)).reshape(shape),
        value=lambda w: np.sum(penalty(w)),
        prox=lambda z, t: on_a_grid(penalty, z, t),
        margin=margin,
        **kwargs,
    )


def grouped(name, arguments, groups, l1, group):
    """`l1 sum |w| + group sum_g sqrt(d_g) ||w_g||`."""
    groups = np.asarray(groups)
    sizes = np.bincount(groups.ravel())
    factors = group * np.sqrt(sizes)

    def value(w):
        norms = np.sqrt(sum_by(groups, w**2))
        return l1 * np.sum(np.abs(w)) + np.sum(factors * norms)

    def margin(z, t):
        norms = np.sqrt(sum_by(groups, ratio(soft(z, l1 * t), t) ** 2))
        return ratio(norms, factors)[groups]

    def prox(z, t):
        # `||x|| = min_r ||x||^2 / 2r + r/2` leaves one unknown for each group, `r`. For a fixed `r`
        # the weights are independent; the best `r` equals their norm.
        small, threshold = soft(z, l1 * t), factors[groups] * t

        def excess(r):
            return sum_by(groups, ratio(small, r[groups] + threshold) ** 2) - 1

        high = np.sqrt(sum_by(groups, small**2))
        low = 1e-60 * high
        for _ in range(70):
            middle = np.sqrt(low * high)
            below = excess(middle) > 0
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        alive = excess(0 * high) > 0
        return np.where(alive[groups], small * ratio(high[groups], high[groups] + threshold), 0)

    if not group:
        return elementwise(
            name,
            arguments,
            lambda x: l1 * abs(x),
            lambda z, t: ratio(abs(z), l1 * t),
            groups.shape,
        )
    return Case(name, arguments, groups.shape, groups, value, prox, margin)


def on_a_grid(penalty, z, t):
    """Returns the minimiser between 0 and z per weight: a grid, refined around its best point."""
    low, high = np.zeros(z.shape), np.ones(z.shape)
    for _ in range(8):
        share = np.linspace(low, high, 101)
        objective = t * penalty(share * z) + (share - 1) ** 2 * z**2 / 2
        best = np.take_along_axis(share, np.argmin(objective, axis=0)[None], axis=0)[0]
        width = (high - low) / 50
        low, high = np.maximum(best - width, 0), np.minimum(best + width, 1)
    return np.where(t == 0, z, best * z)


def soft(z, threshold):
    return np.sign(z) * np.maximum(np.abs(z) - threshold, 0)


def ratio(a, b):
    """Returns `a / b` with `0 / 0 = 0`."""
    a, b = np.broadcast_arrays(a, b)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.where(a == 0, 0.0, a / b)


def sum_by(groups, x):
    return np.bincount(groups.ravel(), x.ravel())


def never(z, t):
    return np.where(z == 0, 0.0, np.inf)
