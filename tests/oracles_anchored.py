"""References of penalties with an array, and of the penalty of non-negative weights."""

from dataclasses import replace

import numpy as np
from oracles import Case, elementwise, on_a_grid, ratio

from kerasreg.regularizers.arrays import encode


def l2sp(l2, reference):
    return _towards("L2SP", "l2", l2, lambda x: l2 * x**2, reference)


def l1sp(l1, reference):
    return _towards("L1SP", "l1", l1, lambda x: l1 * abs(x), reference)


def _towards(name, argument, factor, penalty, reference):
    exact = reference.astype("float64")
    return Case(
        name,
        {argument: factor, "reference": encode(reference)},
        reference.shape,
        groups=np.arange(reference.size).reshape(reference.shape),
        value=lambda w: np.sum(penalty(w - exact)),
        prox=lambda z, t: np.where(t == 0, z, exact + on_a_grid(penalty, z - exact, t)),
        shrinks=False,
        size=lambda z: abs(z) + abs(exact),
    )


def weighted_l1(l1, weights):
    exact = weights.astype("float64")
    return _weighted(l1, exact, {"weights": encode(weights)})


def adaptive_l1(l1, pilot, gamma):
    exact = np.maximum(abs(pilot.astype("float64")), 1e-8) ** -gamma
    return _weighted(l1, exact, {"pilot": encode(pilot), "gamma": gamma})


def _weighted(l1, factors, arguments):
    return elementwise(
        "WeightedL1",
        {"l1": l1, **arguments},
        lambda x: l1 * factors * abs(x),
        lambda z, t: ratio(abs(z), l1 * factors * t),
        factors.shape,
    )


def nonnegative_l1(l1, shape=(3, 4)):
    def penalty(x):
        return l1 * abs(x)

    case = elementwise(
        "NonNegativeL1",
        {"l1": l1},
        penalty,
        lambda z, t: ratio(np.maximum(z, 0), l1 * t),
        shape,
    )
    return replace(
        case,
        prox=lambda z, t: np.where(z < 0, 0.0, on_a_grid(penalty, z, t)),
        allowed=lambda w: np.maximum(w, 0),
    )
