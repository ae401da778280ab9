"""Projections, with one step per weight: `argmin_{x in C} sum_i (x_i - z_i)^2 / (2 step_i)`.

Only the ratios of the steps in a group matter, and those below 1e-12 count as that. The sets hold
for each group: what remains of `z` when all axes but `axes` are fixed. NaN in `z` gives NaN out,
and an infinity stays.
"""

from keras import ops

from kerasreg._prox.axes import from_rows, largest, norm, rows
from kerasreg._prox.filling import fill, signed
from kerasreg._prox.group import root


def onto_box(z, min_value, max_value):
    """Onto `min_value <= x <= max_value`, whatever the steps; None is no bound."""
    x = z if min_value is None else ops.where(z < min_value, ops.full_like(z, min_value), z)
    return x if max_value is None else ops.where(x > max_value, ops.full_like(x, max_value), x)


def onto_simplex(z, step, radius, axes):
    """Onto `x >= 0, sum x = radius`: `max(z - s step, 0)` for one `s` (Duchi et al., 2008)."""
    x, _ = fill(z, _relative(step, z, axes), radius, 0.0, axes)
    return ops.where(ops.isfinite(z), x, z)


def onto_l1_ball(z, step, radius, axes):
    """Onto `sum |x| <= radius`: what is outside comes to `|x|` on the simplex."""
    size = ops.abs(z)
    x, _ = fill(size, _relative(step, z, axes), radius, 0.0, axes)
    inside = ops.sum(size, axis=axes, keepdims=True) <= radius
    return ops.where(inside, z, signed(x, z))


def onto_l2_ball(z, step, radius, axes):
    """Onto `||x|| <= radius`: what is outside comes to `z / (1 + s step)` for one `s`.

    With `t = 1 / step` that is `z t / (s + t)`, and `s` the root of
    `sum_i (z_i t_i / (s + t_i))^2 = radius^2`, as in the group lasso.
    """
    scale = largest(z, axes)
    unit = z / scale
    radius = radius / scale
    inverse = 1.0 / _relative(step, z, axes)
    point = unit * inverse
    point_scale = largest(point, axes)
    # A zero stays one whatever its step: with this one, nothing below is 0 / 0.
    threshold = ops.where(unit == 0, ops.ones_like(unit), radius * inverse / point_scale)
    s = root(point / point_scale, threshold, axes)
    x = ops.where(norm(unit, axes) <= radius, z, z * (threshold / (s + threshold)))
    return ops.where(ops.isfinite(z), x, z)


def keep_largest(z, step, k, axes):
    """Onto at most `k` weights that are not zero: the `k` largest of `z^2 / step`, the others 0."""
    score = ops.abs(z) / ops.sqrt(_relative(step, z, axes))
    score = rows(ops.where(ops.isfinite(score), score, ops.full_like(score, float("inf"))), axes)
    least = ops.top_k(score, k)[0][..., -1:]
    above, tied = score > least, score == least
    places = k - ops.sum(ops.cast(above, "int32"), axis=-1, keepdims=True)
    first = ops.cumsum(ops.cast(tied, "int32"), axis=-1) <= places
    kept = ops.logical_or(above, ops.logical_and(tied, first))
    kept = from_rows(kept, z.shape, axes)
    # Selected, not multiplied by zero: that would give -0.0.
    return ops.where(ops.logical_or(kept, ops.logical_not(ops.isfinite(z))), z, ops.zeros_like(z))


def _relative(step, z, axes):
    """The steps over the largest of their group, which may be 0 or infinite."""
    step = ops.broadcast_to(step, z.shape)
    most = ops.max(step, axis=axes, keepdims=True)
    return ops.clip(ops.where(step == most, ops.ones_like(step), step / most), 1e-12, 1.0)
