"""Choose the weakest of many numbers, exactly as many as wanted, in NumPy."""

import math

import numpy as np

_SAMPLE = 16_384


def weakest(scores, count):
    """A bool array: True for the `count` lowest scores. Of equal ones, the first come first."""
    if count >= scores.size:
        return np.ones(scores.size, bool)
    limit = _kth(scores, count) if count > 0 else -np.inf
    chosen = scores < limit
    ties = np.flatnonzero(scores == limit)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def strongest_stay(scores, count):
    """The scores, with infinity for the `count` highest of what is not dead already."""
    if not count:
        return scores
    scores = np.array(scores, np.promote_types(scores.dtype, "float32"))
    best = np.argpartition(scores, max(0, scores.size - count))[-count:]
    scores[best[scores[best] > -np.inf]] = np.inf
    return scores


def nearest_count(scores, sizes, sparsity):
    """How many of the weakest units come nearest to this fraction of all weights; half counts up.

    `sizes` are the numbers of weights in the units, an array of the shape of `scores`.
    """
    wanted = sparsity * int(sizes.sum())
    if (sizes == sizes[0]).all():
        return math.floor(wanted / sizes[0] + 0.5)
    gone = np.cumsum(sizes[np.argsort(scores, kind="stable")])
    count = int(np.searchsorted(gone, wanted))
    before = gone[count - 1] if count else 0
    return count + int(count < gone.size and gone[count] - wanted <= wanted - before)


def _kth(scores, count):
    """The `count`-th lowest score."""
    if scores.size > 8 * _SAMPLE:
        # A sample tells about where it is: then only what lies there must be ordered, without
        # infinities, which are many equal ones that take long to order.
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
