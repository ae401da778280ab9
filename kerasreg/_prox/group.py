"""Proximal operators of group penalties."""

import keras
import numpy as np
from keras import ops

from kerasreg._prox.axes import largest, norm
from kerasreg._prox.elementwise import soft_threshold
from kerasreg._prox.once import compiled_once

MOST_STEPS = 30


@compiled_once("axes")
def group_soft_threshold(z, threshold, axes):
    """`argmin_x  sum_g ||x_g|| + sum_i (x_i - z_i)^2 / (2 threshold_i)`.

    A group is a slice of `z` along `axes`, with fixed indices along the other axes. If `axes` is
    empty, each weight is a group. With one threshold per group, the result is
    `z max(1 - threshold / ||z_g||, 0)` (Yuan & Lin, 2006). With one threshold per weight, `x_g = 0`
    if and only if `||z / threshold|| <= 1`. Otherwise `x_i = z_i s / (s + threshold_i)`, where `s`
    is the root of `sum_i (z_i / (s + threshold_i))^2 = 1`, by Newton's method on a concave
    function.
    """
    if not axes:
        return soft_threshold(z, threshold)
    # Work on z / max|z|, so that squares neither overflow nor vanish.
    scale = largest(z, axes)
    unit = z / scale
    threshold = threshold / scale
    if all(_size(threshold, axis, z) == 1 for axis in axes):
        length = norm(unit, axes)
        dead = length <= threshold
        kept = z * (1.0 - threshold / length)
    else:
        # Zeros are zero for any threshold. A threshold of 1 avoids 0 / 0 below.
        threshold = ops.where(unit == 0, ops.ones_like(unit), threshold)
        s = root(unit, threshold, axes)
        dead = ops.logical_or(norm(unit / threshold, axes) <= 1.0, s <= 0.0)
        kept = z * (s / (s + threshold))
    # A product with zero would give -0.0, and NaN for some of these groups.
    return ops.where(dead, ops.zeros_like(z), kept)


def root(z, threshold, axes):
    """Returns the root `s` of `sum_i (z_i / (s + threshold_i))^2 = 1` for groups that are not zero.

    Newton's method approaches it from below. It stops when the relative change of all groups is
    below `0.1 sqrt(eps)`: the remaining error is about the square of the change. It takes 3 steps
    for the thresholds of an optimizer, and 12 for thresholds that differ by factors of 1e12 and
    follow the weights.
    """

    def reduce(function, x):
        return function(x, axis=axes, keepdims=True)

    def closer(s):
        square = ops.square(z / (s + threshold))
        total, slope = reduce(ops.sum, square), reduce(ops.sum, square / (s + threshold))
        return s + total * (ops.sqrt(total) - 1.0) / slope

    # With the largest of three lower bounds, every ratio is at most 1 and nothing overflows.
    s = ops.maximum(
        norm(z, axes) - reduce(ops.max, threshold), reduce(ops.max, ops.abs(z) - threshold)
    )
    s = ops.maximum(s, 0.0)
    tolerance = 0.1 * float(np.finfo(keras.backend.standardize_dtype(z.dtype)).eps) ** 0.5
    s, _ = ops.while_loop(
        lambda s, before: ops.any(s - before > tolerance * s),
        lambda s, before: (closer(s), s),
        (closer(s), s),
        maximum_iterations=MOST_STEPS,
    )
    return s


def _size(x, axis, reference):
    """Returns the size of `x` along the axis that broadcasts to `axis` of `reference`."""
    offset = len(reference.shape) - len(x.shape)
    return 1 if axis < offset else x.shape[axis - offset]
