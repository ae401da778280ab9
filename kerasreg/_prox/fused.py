"""The proximal operator of the fused lasso, a penalty of differences of neighbours."""

import keras
import numpy as np
from keras import ops

from kerasreg._prox.once import compiled_once
from kerasreg._prox.prefix import prefix
from kerasreg._prox.segments import block_sum

#: Weight of an element that cannot move; other weights are about 1.
FIXED = 1e30


@compiled_once("l1", "axis")
def fused_threshold(z, threshold, l1=0.0, axis=0):
    """`argmin_x  sum_i |x_{i+1} - x_i| + l1 |x_i| + (x_i - z_i)^2 / (2 threshold_i)`.

    `i` runs along `axis`; lines along this axis are independent. The algorithm is divide and
    conquer: it decides for each `x_i` whether it is above the common value of its block. Each
    decision is exact, for any other decisions (threshold decomposition; Chambolle & Darbon, 2009).
    A block with different decisions is cut between them, and the order of the two sides of a cut is
    final. The algorithm ends when no block is cut.
    """
    front = ops.moveaxis(z, axis, 0)
    lines = ops.reshape(front, (front.shape[0], -1))
    threshold = ops.moveaxis(ops.broadcast_to(threshold, z.shape), axis, 0)
    threshold = ops.reshape(threshold, lines.shape)
    kept = ops.logical_or(threshold == 0, ops.logical_not(ops.isfinite(lines)))
    x = ops.where(kept, lines, _fuse(lines, threshold, l1))
    return ops.moveaxis(ops.reshape(x, front.shape), 0, axis)


def _fuse(z, threshold, l1):
    # Scaled against overflow: `weight (x - z)^2 / 2 + tension |x_{i+1} - x_i|` with |z| <= 1.
    scale = ops.max(ops.abs(z), axis=0, keepdims=True)
    scale = ops.where(scale < 1e-37, ops.ones_like(scale), scale)
    z = z / scale
    threshold = ops.clip(threshold / scale, 1.0 / FIXED, 1e36)
    tension = ops.clip(ops.min(threshold, axis=0, keepdims=True), 1.0, 1e15)
    weight = tension / threshold
    jump, slope = ops.zeros_like(z), ops.zeros_like(z)
    if l1:
        # The only kink is at 0. With known signs, L1 is linear, and zeros cannot move.
        l1 = l1 * tension
        above = _is_above(l1 - weight * z, jump, tension)
        below = _is_above(l1 + weight * z, jump, tension)
        sign = (above - below) / 2.0
        jump = ops.sign(_step(sign))
        slope = l1 * sign
        zero = sign == 0
        z = ops.where(zero, ops.zeros_like(z), z)
        weight = ops.where(zero, FIXED * ops.ones_like(z), weight)

    lines = ops.arange(z.shape[1], dtype="int32")

    def level(x, jump):
        block = ops.cumsum(ops.cast(_starts(jump), "int32"), axis=0) - 1 + z.shape[0] * lines

        def total(each):
            return ops.reshape(block_sum(ops.ravel(each), ops.ravel(block)), z.shape)

        # The forces of neighbours are summed separately. They cancel exactly, even if the weights
        # are small.
        force = slope + tension * (jump - _next(jump))
        return x - (total(weight * (x - z)) + total(force)) / total(weight)

    # The pivot is slightly higher and slightly lower in turn, so that rounding cuts no block.
    tolerance = 4.0 * float(np.finfo(keras.backend.standardize_dtype(z.dtype)).eps)

    def halve(x, jump, turn, end):
        pivot = x + tolerance * ops.cast(1 - 2 * (turn % 2), z.dtype)
        above = _is_above(weight * (pivot - z) + slope, jump, tension)
        cut = ops.where(jump == 0, _step(above) / 2.0, jump)
        end = ops.where(ops.any(cut != jump), turn + 3, end)
        return level(x, cut), cut, turn + 1, end

    start = (level(ops.zeros_like(z), jump), jump, *(ops.cast(i, "int32") for i in (0, 2)))
    x, *_ = ops.while_loop(lambda x, jump, turn, end: turn < end, halve, start)
    return scale * ops.where(weight < FIXED, x, z)


def _is_above(pull, jump, tension):
    """Returns 1 where `x_i` is above the pivot and -1 elsewhere.

    `pull_i` is the slope of the term of `x_i` at the pivot. The slope of this term and all terms to
    the left is `m_i = pull_i + clip(m_{i-1}, -tension, tension)`. If it is outside of
    `[-tension, tension]`, its sign decides. Otherwise `x_i` is on the same side as `x_{i+1}`. The
    code computes the distances to both limits, `tension + m` and `tension - m`, which are accurate
    near 0.
    """
    pull = ops.clip(pull, -4.0 * tension, 4.0 * tension)
    pull = ops.stack([pull, -pull], axis=1)
    room = 2.0 * tension[:, None] + ops.zeros_like(pull)
    first = _starts(jump)[:, None]
    known = tension[:, None] * (1.0 + ops.stack([jump, -jump], axis=1))
    constant = ops.clip(known + pull, 0.0 * room, room)
    low = ops.where(first, constant, ops.zeros_like(pull))
    _, distance, _ = prefix(_clipped_sums, [pull, low, ops.where(first, constant, room)])
    distance = pull + ops.where(first, known, ops.roll(distance, 1, axis=0))

    up, down = distance[:, 0] < 0, distance[:, 1] < 0
    last = ops.where(distance[-1:, 0] < distance[-1:, 1], 1.0, -1.0)
    side = ops.concatenate([jump[1:], ops.cast(last, jump.dtype)])
    side = ops.where(up, ops.ones_like(side), ops.where(down, -ops.ones_like(side), side))
    (side,) = prefix(_last_known, [ops.flip(side, axis=0)])
    return ops.flip(side, axis=0)


def _clipped_sums(first, then):
    """Composes two functions `clip(m + shift, low, high)`, which gives a third one."""
    (shift, low, high), (shift_2, low_2, high_2) = first, then
    return [
        shift + shift_2,
        ops.clip(low + shift_2, low_2, high_2),
        ops.clip(high + shift_2, low_2, high_2),
    ]


def _last_known(first, then):
    return [ops.where(then[0] == 0, first[0], then[0])]


def _starts(jump):
    """Returns where a block begins: at a jump, and at the start of the line."""
    return ops.concatenate([ops.ones_like(jump[:1], dtype="bool"), jump[1:] != 0])


def _step(x):
    return ops.concatenate([ops.zeros_like(x[:1]), x[1:] - x[:-1]])


def _next(x):
    return ops.concatenate([x[1:], ops.zeros_like(x[:1])])
