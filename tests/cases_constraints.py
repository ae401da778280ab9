"""The cases of all constraints, with references that do not use the package.

A public constraint without a case fails the tests (`constraints/test_contract.py`).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """A constraint of each group of weights with the same label.

    Attributes:
        excess: `excess(x)` is the distance of a group from the set, relative to the size of the
            set. It is at most 0 inside.
        nearest: `nearest(z, t)` is the nearest point, found by bisection. None for a set that is
            not convex.
        loss: `loss(x, z, t)` is at most 0 only at the nearest point. It is
            `max_y sum_i g_i (y_i - x_i)` with `g = (z - x) / t`, or the difference of the objective
            from that of the best point, found by enumeration.
    """

    name: str
    arguments: dict
    groups: np.ndarray
    excess: Callable
    nearest: Callable | None
    loss: Callable

    @property
    def shape(self):
        return self.groups.shape

    def each(self, *arrays):
        """Yields the parts of `arrays`, group by group."""
        for label in np.unique(self.groups):
            yield tuple(array[self.groups == label] for array in arrays)

    def __str__(self):
        arguments = ",".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.name}({arguments}) on {self.shape}"


def box(groups, min_value=None, max_value=None):
    low = -np.inf if min_value is None else min_value
    high = np.inf if max_value is None else max_value
    arguments = {"min_value": min_value, "max_value": max_value}

    def loss(x, z, t):
        slope = (z - x) / t
        outward = np.where(slope > 0, high, low) - x
        return np.sum(np.where(slope == 0, 0, slope * np.where(slope == 0, 0, outward)))

    def excess(x):
        return max(np.max(low - x), np.max(x - high))

    def nearest(z, t):
        return np.array([min(max(each, low), high) for each in z])

    return Case("Box", arguments, np.asarray(groups), excess, nearest, loss)


def simplex(groups, radius, **arguments):
    def excess(x):
        return max(abs(x.sum() / radius - 1), -x.min() / radius)

    return _ball("Simplex", groups, radius, arguments, excess, _onto_simplex, np.max)


def l1_ball(groups, radius, **arguments):
    def excess(x):
        return np.sum(abs(x)) / radius - 1

    def nearest(z, t, radius):
        return np.sign(z) * _onto_simplex(abs(z), t, radius)

    return _ball("L1Ball", groups, radius, arguments, excess, nearest, lambda g: np.max(abs(g)))


def l2_ball(groups, radius, **arguments):
    def norm(x):
        return np.sqrt(np.sum(x**2))

    def excess(x):
        return norm(x) / radius - 1

    def nearest(z, t, radius):
        def missing(s):
            return radius - norm(z / (1 + s * t))

        return z / (1 + _root(missing, 0, norm(z) / radius / t.min()) * t)

    return _ball("L2Ball", groups, radius, arguments, excess, nearest, norm)


def k_sparse(groups, k, **arguments):
    """Returns a case in which `k` weights are kept. `arguments` may contain `sparsity` instead."""

    def loss(x, z, t):
        # All choices of k weights.
        price = z**2 / t
        best = max(price[list(kept)].sum() for kept in itertools.combinations(range(z.size), k))
        return best - price[x == z].sum() if np.all((x == z) | (x == 0)) else np.inf

    arguments = arguments if "sparsity" in arguments else {"k": k, **arguments}
    return Case(
        "KSparse",
        arguments,
        np.asarray(groups),
        lambda x: np.count_nonzero(x) - k,
        None,
        loss,
    )


def _ball(name, groups, radius, arguments, excess, nearest, dual_norm):
    def loss(x, z, t):
        slope = (z - x) / t
        return radius * dual_norm(slope) - np.sum(slope * x)

    def nearest_or_inside(z, t):
        inside = name != "Simplex" and excess(z) <= 0
        return z if inside else nearest(z, t, radius)

    groups = np.asarray(groups)
    return Case(name, {"radius": radius, **arguments}, groups, excess, nearest_or_inside, loss)


def _onto_simplex(z, t, radius):
    # Relative to the best single weight, to avoid cancellation if the radius is small.
    rest = np.minimum(z - np.max((z - radius) / t) * t, radius)

    def missing(s):
        return radius - np.sum(np.maximum(rest - s * t, 0))

    return np.maximum(rest - _root(missing, 0, radius / t.min()) * t, 0)


def _root(increasing, low, high):
    for _ in range(300):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if increasing(middle) > 0 else (middle, high)
    return high


_ONE = np.zeros((3, 4), int)
_BY_COLUMN = np.tile(np.arange(4), (3, 1))
_BY_INPUT_CHANNEL = np.tile(np.arange(3)[:, None], (2, 2, 1, 5))
_BY_CHANNEL_PAIR = np.tile(np.arange(6).reshape(2, 3), (3, 1, 1))
_BY_UNIT_OF_4_GATES = np.tile([0, 1, 0, 1, 0, 1, 0, 1], (3, 1))
_BY_WEIGHT = np.arange(12).reshape(3, 4)

CASES = [
    box(_BY_WEIGHT, -0.5, 0.25),
    box(_BY_WEIGHT, min_value=0.0),
    box(np.arange(5), max_value=0.5),
    box(np.arange(1).reshape(()), 0.5, 0.5),
    *(
        ball(groups, radius, **arguments)
        for ball in (simplex, l1_ball, l2_ball)
        for groups, radius, arguments in (
            (_ONE, 1.0, {}),
            (np.zeros(5, int), 0.01, {}),
            (np.zeros((), int), 1.0, {}),
            (_BY_COLUMN, 1.0, {"axis": 0}),
            (_BY_INPUT_CHANNEL, 3.0, {"axis": (0, 1, -1)}),
            (_BY_CHANNEL_PAIR, 1.0, {"axis": 0}),
            (_ONE, 1.0, {"axis": (0, 1)}),
            (_BY_UNIT_OF_4_GATES, 1.0, {"axis": -2, "gates": 4}),
        )
    ),
    k_sparse(_ONE, 5),
    k_sparse(_ONE, 12),
    k_sparse(np.zeros((), int), 1),
    k_sparse(_ONE, 3, sparsity=0.75),
    k_sparse(np.zeros(5, int), 1, sparsity=0.999),
    k_sparse(_BY_COLUMN, 2, axis=0),
    k_sparse(_BY_INPUT_CHANNEL, 2, axis=(0, 1, 3), sparsity=0.9),
    k_sparse(_BY_UNIT_OF_4_GATES, 4, axis=0, gates=4),
]
