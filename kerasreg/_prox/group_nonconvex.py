"""Proximal operators of nonconvex group penalties, which do not shrink large groups."""

from keras import ops

from kerasreg._prox.axes import largest, norm
from kerasreg._prox.nonconvex import mcp_threshold, scad_threshold


def group_hard_threshold(z, threshold, axes):
    """`argmin_x  sum_g [x_g != 0] + sum_i (x_i - z_i)^2 / (2 threshold_i)`.

    A group is unchanged if `sum_i z_i^2 / (2 threshold_i) > 1`, and otherwise zero.
    """
    ratio = z / ops.sqrt(2.0 * threshold)
    ratio = ops.where(z == 0, ops.zeros_like(ratio), ratio)
    dead = ops.sum(ops.square(ratio), axis=axes, keepdims=True) <= 1.0
    return ops.where(ops.logical_and(dead, ops.isfinite(z)), ops.zeros_like(z), z)


def group_mcp(z, step, factor, gamma, axes):
    """`argmin_x  sum_g mcp(||x_g||) + ||x_g - z_g||^2 / (2 step_g)`, for one step per group."""
    return _along(z, lambda length: mcp_threshold(length, step, factor, gamma), axes)


def group_scad(z, step, factor, a, axes):
    """`argmin_x  sum_g scad(||x_g||) + ||x_g - z_g||^2 / (2 step_g)`, for one step per group."""
    return _along(z, lambda length: scad_threshold(length, step, factor, a), axes)


def _along(z, prox, axes):
    """Applies `prox` to the norm of each group; the direction of the group does not change."""
    scale = largest(z, axes)
    length = scale * norm(z / scale, axes)
    new = prox(length)
    # The product is NaN for groups of zeros, and may be -0.0.
    return ops.where(new == 0, ops.zeros_like(z), z * (new / length))
