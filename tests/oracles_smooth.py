"""References of penalties without a prox, in float64 NumPy."""

import itertools

import numpy as np
from oracles import Case, ratio, sum_by


def smooth(name, arguments, groups, value, dead=True):
    """A case without a prox. `dead`: weights of zero get no gradient."""
    groups = np.asarray(groups)
    return Case(name, arguments, groups.shape, groups, value, prox=None, convex=False, shrinks=dead)


def orthogonal(arguments, groups):
    factor, lengths = arguments["factor"], arguments.get("unit_norm", True)

    def value(w):
        columns = [w[groups == label] for label in range(groups.max() + 1)]
        if len(columns) > len(columns[0]):
            columns = list(np.transpose(columns))
        products = (
            np.dot(a, b) - (a is b)
            for a, b in itertools.product(columns, repeat=2)
            if lengths or a is not b
        )
        return factor * sum(product**2 for product in products)

    return smooth("Orthogonal", arguments, groups, value)


def conv_orthogonal(arguments, shape):
    factor, stride = arguments["factor"], arguments.get("strides", 1)
    *window, _, filters = shape

    def value(w):
        shifts = [range(-((size - 1) // stride), (size - 1) // stride + 1) for size in window]
        total = 0.0
        for shift in itertools.product(*shifts):
            moved, still = np.zeros(shape), w
            # Both kernels are padded with zeros, so that a roll does not wrap around.
            frame = [(size, size) for size in window] + [(0, 0), (0, 0)]
            moved = np.roll(np.pad(w, frame), np.multiply(shift, stride), range(len(window)))
            still = np.pad(w, frame)
            overlaps = np.tensordot(moved, still, (range(len(window) + 1),) * 2)
            total += np.sum((overlaps - np.eye(filters) * (not any(shift))) ** 2)
        return factor * total

    groups = np.broadcast_to(np.arange(filters), shape).copy()
    return smooth("ConvOrthogonal", arguments, groups, value)


def hoyer_square(name, arguments, groups):
    def value(w):
        norms = np.sqrt(sum_by(groups, w**2))
        return arguments["factor"] * float(ratio(norms.sum() ** 2, (norms**2).sum()))

    return smooth(name, arguments, groups, value)


def spectral_norm(arguments, groups):
    def value(w):
        matrix = np.stack([w[groups == label] for label in range(groups.max() + 1)])
        largest = np.linalg.norm(matrix, 2) if np.isfinite(w).all() else np.nan
        return arguments["factor"] * largest ** arguments.get("power", 2)

    return smooth("SpectralNorm", arguments, groups, value)


def entropy(arguments, shape):
    def value(a):
        sizes = np.exp(a) if arguments.get("from_logits") else abs(a)
        shares = ratio(sizes, sizes.sum(-1, keepdims=True))
        logs = np.log(np.where(shares == 0, 1, shares))
        return -arguments["factor"] * len(a) * np.mean(np.sum(shares * logs, axis=-1))

    dead = not arguments.get("from_logits")
    return smooth(
        "ActivityEntropy", arguments, np.arange(np.prod(shape)).reshape(shape), value, dead
    )


def activity_kl(arguments, shape):
    rho = arguments["rho"]

    def value(a):
        clipped = np.clip(a, 2.0**-23, 1 - 2.0**-23).reshape(-1, shape[-1])
        mean = clipped.mean(axis=0)
        divergence = rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))
        return arguments["factor"] * len(a) * divergence.sum()

    return smooth("ActivityKL", arguments, np.arange(np.prod(shape)).reshape(shape), value)
