"""Projections onto constraint sets, with one step size per weight.

Each function returns `argmin_{x in C} sum_i (x_i - z_i)^2 / (2 step_i)`. The set `C` constrains
each group: a slice of `z` along `axes`, with fixed indices along the other axes. Only the ratios
of the steps in a group matter; ratios below 1e-12 are replaced by 1e-12. NaN in `z` gives NaN.
Infinite values are unchanged, except by `onto_box`.
"""

from keras import ops

from kerasreg._prox.axes import from_rows, largest, norm, rows
from kerasreg._prox.filling import fill, signed
from kerasreg._prox.group import root


def onto_box(z, min_value, max_value):
    """Projects onto `min_value <= x <= max_value`, for any steps. None means no bound."""
    x = z if min_value is None else ops.where(z < min_value, ops.full_like(z, min_value), z)
    return x if max_value is None else ops.where(x > max_value, ops.full_like(x, max_value), x)


def onto_simplex(z, step, radius, axes):
    """Projects onto `x >= 0, sum x = radius` (Duchi et al., 2008).

    The result is `max(z - s step, 0)`, with one `s` per group.
    """
    x, _ = fill(z, _relative(step, z, axes), radius, 0.0, axes)
    return ops.where(ops.isfinite(z), x, z)


def onto_l1_ball(z, step, radius, axes):
    """Projects onto `sum |x| <= radius`.

    For groups outside of the ball, `|x|` is the projection of `|z|` onto the simplex.
    """
    size = ops.abs(z)
    x, _ = fill(size, _relative(step, z, axes), radius, 0.0, axes)
    inside = ops.sum(size, axis=axes, keepdims=True) <= radius
    return ops.where(inside, z, signed(x, z))


def onto_l2_ball(z, step, radius, axes):
    """Projects onto `||x|| <= radius`.

    Groups outside of the ball become `z / (1 + s step)`, with one `s` per group. With
    `t = 1 / step`, this is `z t / (s + t)`, where `s` is the root of
    `sum_i (z_i t_i / (s + t_i))^2 = radius^2`, as in the group lasso.
    """
    scale = largest(z, axes)
    unit = z / scale
    radius = radius / scale
    inverse = 1.0 / _relative(step, z, axes)
    point = unit * inverse
    point_scale = largest(point, axes)
    # Zeros are zero for any step. A threshold of 1 avoids 0 / 0 below.
    threshold = ops.where(unit == 0, ops.ones_like(unit), radius * inverse / point_scale)
    s = root(point / point_scale, threshold, axes)
    x = ops.where(norm(unit, axes) <= radius, z, z * (threshold / (s + threshold)))
    return ops.where(ops.isfinite(z), x, z)


def keep_largest(z, step, k, axes):
    """Projects onto at most `k` non-zero weights: keeps those with the `k` largest `z^2 / step`."""
    score = ops.abs(z) / ops.sqrt(_relative(step, z, axes))
    score = rows(ops.where(ops.isfinite(score), score, ops.full_like(score, float("inf"))), axes)
    least = ops.top_k(score, k)[0][..., -1:]
    above, tied = score > least, score == least
    places = k - ops.sum(ops.cast(above, "int32"), axis=-1, keepdims=True)
    first = ops.cumsum(ops.cast(tied, "int32"), axis=-1) <= places
    kept = ops.logical_or(above, ops.logical_and(tied, first))
    kept = from_rows(kept, z.shape, axes)
    # A product with zero would give -0.0.
    return ops.where(ops.logical_or(kept, ops.logical_not(ops.isfinite(z))), z, ops.zeros_like(z))


def _relative(step, z, axes):
    """Returns the steps divided by the largest of their group, which may be 0 or infinite."""
    step = ops.broadcast_to(step, z.shape)
    most = ops.max(step, axis=axes, keepdims=True)
    return ops.clip(ops.where(step == most, ops.ones_like(step), step / most), 1e-12, 1.0)
