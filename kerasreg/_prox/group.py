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

    A group is what remains of `z` when all axes but `axes` are fixed; `axes` may be empty
    (each weight its own group). With one threshold per group, a closed form:
    `z max(1 - threshold / ||z_g||, 0)` (Yuan & Lin, 2006). With one per weight,
    `x_g = 0` iff `||z / threshold|| <= 1`, else `x_i = z_i s / (s + threshold_i)` with `s` the
    root of `sum_i (z_i / (s + threshold_i))^2 = 1`, by Newton on a concave function.
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
        # A zero stays one whatever its threshold: with this one, nothing below is 0 / 0.
        threshold = ops.where(unit == 0, ops.ones_like(unit), threshold)
        s = root(unit, threshold, axes)
        dead = ops.logical_or(norm(unit / threshold, axes) <= 1.0, s <= 0.0)
        kept = z * (s / (s + threshold))
    # Selected, not multiplied by zero: that would give -0.0, and keep the NaNs of dead groups.
    return ops.where(dead, ops.zeros_like(z), kept)


def root(z, threshold, axes):
    """The `s` with `sum_i (z_i / (s + threshold_i))^2 = 1`, from below, if the group is alive.

    Newton, until no group moves by more than what squares to rounding: 3 steps for the thresholds
    that an optimizer makes, 12 for those that differ by 1e12 and follow the weights.
    """

    def reduce(function, x):
        return function(x, axis=axes, keepdims=True)

    def closer(s):
        square = ops.square(z / (s + threshold))
        total, slope = reduce(ops.sum, square), reduce(ops.sum, square / (s + threshold))
        return s + total * (ops.sqrt(total) - 1.0) / slope

    # The largest of three lower bounds: from here every ratio is at most 1 and nothing overflows.
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
    """The size of `x` along `axis` of `reference`, after broadcasting."""
    offset = len(reference.shape) - len(x.shape)
    return 1 if axis < offset else x.shape[axis - offset]
