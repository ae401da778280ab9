"""Proximal operators of group penalties."""

import keras
import numpy as np
from keras import ops

from kerasreg._prox.axes import largest, norm
from kerasreg._prox.elementwise import soft_threshold
from kerasreg._prox.once import compiled_once

MOST_STEPS = 30
MOST_STEPS_FROM_START = 6
#: Largest relative residual from which one step of Newton's method is accurate enough.
NEAR = 0.03


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
    # Of z / max|z|: squares neither overflow nor vanish.
    scale = largest(z, axes)
    unit, threshold = z / scale, threshold / scale
    if _is_one_per_group(threshold, axes, z):
        length = norm(unit, axes)
        # A product with zero would give -0.0, and NaN for some of these groups.
        return ops.where(length <= threshold, ops.zeros_like(z), z * (1.0 - threshold / length))
    threshold = _positive(z, threshold)
    return _scaled(z, threshold, root(unit, threshold, axes))


@compiled_once("axes")
def group_soft_threshold_from(z, threshold, start, axes):
    """Returns `(group_soft_threshold(z, threshold, axes), next start)` for calls in sequence.

    `start` is the root `s` of a call with similar arguments, with size 1 along `axes`; zeros if
    there is none. A step of Newton's method from there leaves an error of about the square of the
    change. Steps are repeated while the change is large for any group; after
    `MOST_STEPS_FROM_START`, the root is computed from scratch.
    """
    if _is_one_per_group(threshold, axes, z):
        return group_soft_threshold(z, threshold, axes), start
    threshold = _positive(z, threshold)

    def following(s):
        """Returns `(next s, whether it is accurate enough)`."""
        total, closer = _newton(z, threshold, s, axes)
        dead = ops.logical_and(s <= 0.0, total <= 1.0)
        near = ops.logical_or(ops.abs(ops.sqrt(total) - 1.0) <= NEAR, dead)
        closer = ops.where(ops.logical_or(dead, closer <= 0.0), ops.zeros_like(s), closer)
        return closer, ops.all(near)

    def from_scratch():
        scale = largest(z, axes)
        return scale * root(z / scale, threshold / scale, axes)

    # Mostly one step, and two where groups become zero.
    s, is_enough = ops.while_loop(
        lambda s, is_enough: ops.logical_not(is_enough),
        lambda s, is_enough: following(s),
        following(start),
        maximum_iterations=MOST_STEPS_FROM_START - 1,
    )
    s = ops.cond(is_enough, lambda: s, from_scratch)
    return _scaled(z, threshold, s), s


def _positive(z, threshold):
    """Returns the threshold, but 1 for zeros, which are zero for any: this avoids 0 / 0."""
    return ops.where(z == 0, ops.ones_like(z), threshold)


def _scaled(z, threshold, root):
    return ops.where(root <= 0.0, ops.zeros_like(z), z * (root / (root + threshold)))


def root(z, threshold, axes):
    """Returns the root `s` of `sum_i (z_i / (s + threshold_i))^2 = 1`, 0 for groups without one.

    Newton's method approaches it from below. It stops when the relative change of all groups is
    below `0.1 sqrt(eps)`: the remaining error is about the square of the change. It takes 3 steps
    for the thresholds of an optimizer, and 12 for thresholds that differ by factors of 1e12 and
    follow the weights.
    """

    def closer(s):
        return _newton(z, threshold, s, axes)[1]

    # With the largest of three lower bounds, every ratio is at most 1 and nothing overflows.
    s = ops.maximum(
        norm(z, axes) - ops.max(threshold, axis=axes, keepdims=True),
        ops.max(ops.abs(z) - threshold, axis=axes, keepdims=True),
    )
    s = ops.maximum(s, 0.0)
    tolerance = 0.1 * float(np.finfo(keras.backend.standardize_dtype(z.dtype)).eps) ** 0.5
    s, _ = ops.while_loop(
        lambda s, before: ops.any(s - before > tolerance * s),
        lambda s, before: (closer(s), s),
        (closer(s), s),
        maximum_iterations=MOST_STEPS,
    )
    dead = ops.logical_or(norm(z / threshold, axes) <= 1.0, s <= 0.0)
    return ops.where(dead, ops.zeros_like(s), s)


def _newton(z, threshold, s, axes):
    """`(sum_i (z_i / (s + threshold_i))^2, the next s)`."""
    inverse = ops.reciprocal(s + threshold)
    square = ops.square(z * inverse)
    total = ops.sum(square, axis=axes, keepdims=True)
    slope = ops.sum(square * inverse, axis=axes, keepdims=True)
    return total, s + total * (ops.sqrt(total) - 1.0) / slope


def _is_one_per_group(threshold, axes, z):
    offset = len(z.shape) - len(threshold.shape)
    return all(axis < offset or threshold.shape[axis - offset] == 1 for axis in axes)
