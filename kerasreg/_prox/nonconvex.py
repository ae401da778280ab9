"""Proximal operators of nonconvex penalties of single weights, which shrink large weights less."""

import math

from keras import ops

from kerasreg._prox.elementwise import soft_threshold

#: Enough for float64 precision from the start in `lp_threshold`.
NEWTON_STEPS = 5


def hard_threshold(z, threshold):
    """`argmin_x  [x != 0] threshold + (x - z)^2 / 2`: z where `|z| > sqrt(2 threshold)`, else 0."""
    return _zero_where(ops.abs(z) <= ops.sqrt(2.0 * threshold), z, z)


def mcp_threshold(z, step, factor, gamma):
    """`argmin_x  step P(x) + (x - z)^2 / 2` for the minimax concave penalty.

    `P(x) = factor m - m^2 / (2 gamma)` with `m = min(|x|, gamma factor)`. In units of `factor`:
    if `step < gamma`, the result is 0 for `|z| <= step`, z for `|z| >= gamma`, and linear in
    between. Otherwise it is z where `|z| > sqrt(gamma step)`, else 0.
    """
    jump = math.sqrt(gamma) * ops.sqrt(step)
    return _fading_threshold(z, step, factor, end=gamma, room=gamma - step, jump=jump)


def scad_threshold(z, step, factor, a):
    """`argmin_x  step P(x) + (x - z)^2 / 2` for the smoothly clipped absolute deviation.

    `P(x) = factor m - max(m - factor, 0)^2 / (2 (a - 1))` with `m = min(|x|, a factor)`. In units
    of `factor`: if `step < a - 1`, the result is soft thresholding for `|z| <= 1 + step`, z for
    `|z| >= a`, and linear in between. Otherwise it is z where `|z| > (a + 1 + step) / 2` (if
    `step >= a + 1`, where `|z| > sqrt((a + 1) step)`), else soft thresholding.
    """
    jump = ops.where(step < a + 1, (a + 1 + step) / 2, math.sqrt(a + 1) * ops.sqrt(step))
    return _fading_threshold(z, step, factor, end=a, room=a - 1 - step, jump=jump)


def capped_threshold(z, threshold, theta):
    """`argmin_x  threshold min(|x|, theta) + (x - z)^2 / 2`.

    z where `|z| > theta + threshold / 2` (if `threshold >= 2 theta`, where
    `|z| > sqrt(2 theta threshold)`), else soft thresholding.
    """
    jump = ops.where(
        threshold < 2 * theta,
        theta + threshold / 2,
        math.sqrt(2 * theta) * ops.sqrt(threshold),
    )
    return soft_threshold(z, ops.where(ops.abs(z) > jump, 0.0, threshold))


def lp_threshold(z, threshold, p):
    """`argmin_x  threshold |x|^p + (x - z)^2 / 2` for `p = 1 - 1/m`: 1/2, 2/3, ...

    0 where `|z| <= (2 - p) / (2 - 2p) ((2 - 2p) threshold)^(1 / (2 - p))`. Otherwise `x = z s^m`,
    where `s` is the largest root of `s^(m+1) - s + p threshold |z|^(p-2) = 0`, by Newton's method
    from above on a convex function. (The trigonometric forms of this root are inaccurate for
    thresholds near 0.)
    """
    m = round(1 / (1 - p))
    size = ops.abs(z)
    scale = threshold ** (1 / (2 - p))
    dead = size <= (2 - p) / (2 - 2 * p) * (2 - 2 * p) ** (1 / (2 - p)) * scale
    c = p * ops.where(dead, 0.0, scale / size) ** (2 - p)
    # The first step, from 1.
    s = 1 - c / m
    for _ in range(NEWTON_STEPS):
        power = _power(s, m)
        s = (m * s * power - c) / ((m + 1) * power - 1)
    return _zero_where(dead, z, z * _power(s, m))


def log_threshold(z, threshold, epsilon):
    """`argmin_x  threshold log(1 + |x| / epsilon) + (x - z)^2 / 2`.

    `|x|` is the outer stationary point
    `(|z| - epsilon + sqrt((|z| + epsilon)^2 - 4 threshold)) / 2` if this exists and has a lower
    objective than 0. Otherwise `x = 0`.
    """
    size = ops.abs(z)
    total = size + epsilon
    slope = threshold / total
    shrinkage = 2 * slope / (1 + ops.sqrt(1 - 4 * ops.clip(slope / total, 0.0, 0.25)))
    x = size - shrinkage
    inside = ops.where(x > 0, x, 1.0)
    # Both sides are divided by x, because products of small numbers would underflow.
    worse = threshold * ops.log1p(inside / epsilon) / inside > size - inside / 2
    return soft_threshold(z, ops.where(ops.logical_or(x <= 0, worse), size, shrinkage))


def transformed_l1_threshold(z, threshold, a):
    """`argmin_x  threshold (a + 1) |x| / (a + |x|) + (x - z)^2 / 2`.

    0 where `|z| <= threshold (a + 1) / a` if `threshold <= a^2 / (2 (a + 1))`, and otherwise where
    `|z| <= sqrt(2 threshold (a + 1)) - a / 2`. Else
    `|x| = |z| - 4/3 (a + |z|) sin(arcsin(sqrt(w)) / 3)^2` with
    `w = 27/4 threshold a (a + 1) / (a + |z|)^3`.
    """
    size = ops.abs(z)
    total = a + size
    dead = size <= ops.where(
        threshold <= a / 2 * (a / (a + 1)),
        threshold * ((a + 1) / a),
        math.sqrt(2 * (a + 1)) * ops.sqrt(threshold) - a / 2,
    )
    w = 6.75 * (threshold / total) * (a / total) * ((a + 1) / total)
    angle = ops.arcsin(ops.sqrt(ops.clip(w, 0.0, 1.0))) / 3
    return soft_threshold(z, ops.where(dead, size, 4 / 3 * total * ops.square(ops.sin(angle))))


def _fading_threshold(z, step, factor, end, room, jump):
    """Soft thresholding by `factor step` times a fade.

    The fade is 1 for `|z| <= end - room`, 0 for `|z| >= end`, and linear in between. If
    `room <= 0`, it is 1 for `|z| <= jump` and 0 otherwise. `end`, `room` and `jump` are in units of
    `factor`.
    """
    size = ops.abs(z) / factor
    fade = ops.clip((end - size) / ops.where(room > 0, room, 1.0), 0.0, 1.0)
    fade = ops.where(room > 0, fade, ops.cast(size <= jump, fade.dtype))
    return soft_threshold(z, factor * step * fade)


def _power(x, m):
    """Returns `x^m` for a positive integer, by products: general powers take much longer."""
    return math.prod([x] * m) if m <= 8 else x**m


def _zero_where(dead, z, x):
    # `z - z` is 0.0, but NaN for infinite values.
    return ops.where(dead, z - z, x)
