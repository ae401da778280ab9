"""Proximal operators of the maximum norm and the squared L1 norm of groups."""

from keras import ops

from kerasreg._prox.axes import largest
from kerasreg._prox.filling import fill, signed


def group_clip(z, threshold, axes):
    """`argmin_x  sum_g max|x_g| + sum_i (x_i - z_i)^2 / (2 threshold_i)`.

    `x_g = 0` if and only if `sum_i |z_i| / threshold_i <= 1`. Otherwise `x_g` is `z_g`, clipped to
    `[-s, s]` with `sum_i max(|z_i| - s, 0) / threshold_i = 1` (Quattoni et al., 2009).
    """
    scale = largest(z, axes)
    unit = ops.abs(z) / scale
    # The bounds prevent overflow. The result is the same for thresholds beyond them.
    relative = ops.clip(ops.broadcast_to(threshold, z.shape) / scale, 1e-18, 1e18)
    dead = ops.sum(unit / relative, axis=axes, keepdims=True) <= 1.0
    _, level = fill(unit / relative, 1.0 / relative, 1.0, 0.0, axes)
    dead = ops.logical_or(dead, level <= 0.0)
    level = level * scale
    x = ops.where(dead, ops.zeros_like(z), ops.clip(z, -level, level))
    return ops.where(ops.logical_and(threshold > 0, ops.isfinite(z)), x, z)


def exclusive_threshold(z, threshold, axes):
    """`argmin_x  sum_g (sum_i |x_gi|)^2 + sum_i (x_i - z_i)^2 / (2 threshold_i)`.

    `x_i = sign(z_i) max(|z_i| - 2 threshold_i S, 0)` with `S = sum_i |x_i|` in the group
    (Kong et al., 2014).
    """
    # The bound keeps products finite.
    shrinkage = ops.clip(2.0 * ops.broadcast_to(threshold, z.shape), 0.0, 1e18)
    x, _ = fill(ops.abs(z), shrinkage, 0.0, 1.0, axes)
    x = ops.where(threshold == float("inf"), ops.zeros_like(x), x)
    return ops.where(threshold > 0, signed(x, z), z)
