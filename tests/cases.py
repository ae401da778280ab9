"""The one table of all penalties: what each must be, in float64 NumPy and by brute force.

A penalty that is public and not in here fails the tests (`test_contract.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """One penalty with its arguments, and its definition independent of the package.

    `groups` are labels: weights of the same label are switched off together. `margin(z, t)` is the
    left side over the right side of the condition for zero: at most 1 where the prox is zero.
    """

    name: str
    arguments: dict
    shape: tuple
    groups: np.ndarray
    value: Callable
    prox: Callable
    margin: Callable
    convex: bool = True

    def __str__(self):
        arguments = ",".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.name}({arguments}) on {self.shape}"


def elementwise(name, arguments, penalty, margin, shape=(3, 4), **kwargs):
    """A sum over weights of `penalty(weight)`, even and growing with the weight's size."""
    return Case(
        name,
        arguments,
        shape,
        groups=np.arange(np.prod(shape, dtype=int)).reshape(shape),
        value=lambda w: np.sum(penalty(w)),
        prox=lambda z, t: _on_a_grid(penalty, z, t),
        margin=margin,
        **kwargs,
    )


def grouped(name, arguments, groups, l1, group):
    """`l1 sum |w| + group sum_g sqrt(d_g) ||w_g||`."""
    groups = np.asarray(groups)
    sizes = np.bincount(groups.ravel())
    factors = group * np.sqrt(sizes)

    def value(w):
        norms = np.sqrt(_sum_by(groups, w**2))
        return l1 * np.sum(np.abs(w)) + np.sum(factors * norms)

    def margin(z, t):
        ratio = np.sqrt(_sum_by(groups, _ratio(_soft(z, l1 * t), t) ** 2))
        return _ratio(ratio, factors)[groups]

    def prox(z, t):
        # `||x|| = min_r ||x||^2 / 2r + r/2` leaves one unknown for each group, `r`: for a fixed
        # one the weights separate, and the best is the norm of what they then are.
        small, threshold = _soft(z, l1 * t), factors[groups] * t

        def excess(r):
            return _sum_by(groups, _ratio(small, r[groups] + threshold) ** 2) - 1

        high = np.sqrt(_sum_by(groups, small**2))
        low = 1e-60 * high
        for _ in range(70):
            middle = np.sqrt(low * high)
            below = excess(middle) > 0
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        alive = excess(0 * high) > 0
        return np.where(alive[groups], small * _ratio(high[groups], high[groups] + threshold), 0)

    if not group:
        return elementwise(
            name,
            arguments,
            lambda x: l1 * abs(x),
            lambda z, t: _ratio(abs(z), l1 * t),
            groups.shape,
        )
    return Case(name, arguments, groups.shape, groups, value, prox, margin)


def _on_a_grid(penalty, z, t):
    """The minimiser between 0 and z, weight by weight: a grid, refined around its best point."""
    low, high = np.zeros(z.shape), np.ones(z.shape)
    for _ in range(8):
        share = np.linspace(low, high, 101)
        objective = t * penalty(share * z) + (share - 1) ** 2 * z**2 / 2
        best = np.take_along_axis(share, np.argmin(objective, axis=0)[None], axis=0)[0]
        width = (high - low) / 50
        low, high = np.maximum(best - width, 0), np.minimum(best + width, 1)
    return np.where(t == 0, z, best * z)


def _soft(z, threshold):
    return np.sign(z) * np.maximum(np.abs(z) - threshold, 0)


def _ratio(a, b):
    """`a / b` with `0 / 0 = 0`."""
    a, b = np.broadcast_arrays(a, b)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.where(a == 0, 0.0, a / b)


def _sum_by(groups, x):
    return np.bincount(groups.ravel(), x.ravel())


def _never(z, t):
    return np.where(z == 0, 0.0, np.inf)


_BY_COLUMN = np.tile(np.arange(4), (3, 1))
_BY_ROW = np.repeat(np.arange(3), 4).reshape(3, 4)
_BY_INPUT_CHANNEL = np.tile(np.arange(3)[:, None], (2, 2, 1, 5))
_BY_CHANNEL_PAIR = np.tile(np.arange(6).reshape(2, 3), (3, 1, 1))
_BY_UNIT_OF_4_GATES = np.tile([0, 1, 0, 1, 0, 1, 0, 1], (3, 1))
_BY_WEIGHT = np.arange(12).reshape(3, 4)

CASES = [
    elementwise("L1", {"l1": 0.3}, lambda x: 0.3 * abs(x), lambda z, t: _ratio(abs(z), 0.3 * t)),
    elementwise("L1", {"l1": 1e-4}, lambda x: 1e-4 * abs(x), lambda z, t: _ratio(abs(z), 1e-4 * t)),
    elementwise(
        "L1", {"l1": 0.3}, lambda x: 0.3 * abs(x), lambda z, t: _ratio(abs(z), 0.3 * t), ()
    ),
    elementwise("L1", {"l1": 0.0}, lambda x: 0 * x, _never),
    elementwise("L2", {"l2": 0.3}, lambda x: 0.3 * x**2, _never),
    elementwise("L2", {"l2": 0.0}, lambda x: 0 * x, _never, (5,)),
    elementwise(
        "L1L2",
        {"l1": 0.2, "l2": 0.7},
        lambda x: 0.2 * abs(x) + 0.7 * x**2,
        lambda z, t: _ratio(abs(z), 0.2 * t),
        (2, 1, 3),
    ),
    elementwise("L1L2", {"l1": 0.0, "l2": 0.7}, lambda x: 0.7 * x**2, _never),
    elementwise(
        "L1L2", {"l1": 0.2, "l2": 0.0}, lambda x: 0.2 * abs(x), lambda z, t: _ratio(abs(z), 0.2 * t)
    ),
    grouped("GroupLasso", {"factor": 0.3, "axis": -1}, _BY_COLUMN, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0}, _BY_ROW, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": -2}, _BY_INPUT_CHANNEL, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": (1, 2)}, _BY_CHANNEL_PAIR, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0}, np.arange(4), 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0, "gates": 2}, [0, 1, 2, 0, 1, 2], 0, 0.3),
    grouped("GroupLasso", {"factor": 0.0, "axis": 0}, _BY_WEIGHT, 0, 0),
    grouped("SparseGroupLasso", {"factor": 0.3}, _BY_COLUMN, 0.15, 0.15),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 0.9, "axis": 0}, _BY_ROW, 0.45, 0.05),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 1.0}, _BY_WEIGHT, 0.5, 0),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 0.0}, _BY_COLUMN, 0, 0.5),
    grouped(
        "SparseGroupLasso",
        {"factor": 0.3, "l1_ratio": 0.2, "axis": -1, "gates": 4},
        _BY_UNIT_OF_4_GATES,
        0.06,
        0.24,
    ),
]

for _case in CASES:
    _case.groups.setflags(write=False)
