"""Exact selection of the lowest scores, in NumPy."""

import math

import numpy as np

_SAMPLE = 16_384


def weakest(scores, count):
    """Returns a bool array that is True for the `count` lowest scores; ties go to the first."""
    if count >= scores.size:
        return np.ones(scores.size, bool)
    limit = _kth(scores, count) if count > 0 else -np.inf
    chosen = scores < limit
    ties = np.flatnonzero(scores == limit)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def strongest_stay(scores, count):
    """Returns the scores with infinity for the `count` highest, except those of pruned units."""
    if not count:
        return scores
    scores = np.array(scores, np.promote_types(scores.dtype, "float32"))
    best = np.argpartition(scores, max(0, scores.size - count))[-count:]
    scores[best[scores[best] > -np.inf]] = np.inf
    return scores


def nearest_count(scores, sizes, sparsity):
    """Returns how many of the weakest units to prune to come nearest to a fraction of all weights.

    Halves are rounded up.

    Args:
        scores: an array of shape `(units,)`.
        sizes: the number of weights in each unit, an array of shape `(units,)`.
        sparsity: the fraction of all weights.
    """
    wanted = sparsity * int(sizes.sum())
    if (sizes == sizes[0]).all():
        return math.floor(wanted / sizes[0] + 0.5)
    gone = np.cumsum(sizes[np.argsort(scores, kind="stable")])
    count = int(np.searchsorted(gone, wanted))
    before = gone[count - 1] if count else 0
    return count + int(count < gone.size and gone[count] - wanted <= wanted - before)


def _kth(scores, count):
    """Returns the `count`-th lowest score."""
    if scores.size > 8 * _SAMPLE:
        # A sample shows about where it is, so that only scores near it must be partitioned.
        # Infinite scores are left out: partitioning many equal numbers is slow.
        sample = np.sort(scores[:: scores.size // _SAMPLE])
        place = count * sample.size / scores.size
        margin = 4 * np.sqrt(sample.size)
        lowest, highest = _finite_range(scores.dtype)
        low = max(sample[max(0, int(place - margin))], lowest)
        high = min(sample[min(sample.size - 1, int(place + margin))], highest)
        below = np.count_nonzero(scores < low)
        if low == lowest and count <= below:
            return -np.inf
        between = scores[(scores >= low) & (scores <= high)]
        if below < count <= below + between.size:
            return np.partition(between, count - below - 1)[count - below - 1]
    return np.partition(scores, count - 1)[count - 1]


def _finite_range(dtype):
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return limits.min, limits.max
