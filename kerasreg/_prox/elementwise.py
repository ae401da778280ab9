"""Proximal operators of convex penalties of single weights."""

from keras import ops


def soft_threshold(z, threshold):
    """`argmin_x  |x| threshold + (x - z)^2 / 2`, elementwise: `sign(z) max(|z| - threshold, 0)`."""
    # This gives exactly 0.0, and needs one pass less than the form with the sign. `ops.minimum`
    # would round float64 to float32 on torch.
    return z - ops.clip(z, -threshold, threshold)


def shrink(z, threshold):
    """`argmin_x  threshold x^2 + (x - z)^2 / 2`, elementwise: `z / (1 + 2 threshold)`."""
    return z / (1.0 + 2.0 * threshold)


def positive_threshold(z, threshold):
    """`argmin_{x >= 0}  threshold x + (x - z)^2 / 2`, elementwise: `max(z - threshold, 0)`."""
    # `z - z` is 0.0, but NaN for infinite values.
    return ops.where(z <= threshold, z - z, z - threshold)


def soft_threshold_towards(z, threshold, reference):
    """`argmin_x  threshold |x - reference| + (x - z)^2 / 2`, elementwise.

    Exactly `reference` where `|z - reference| <= threshold`, else `z` moved towards it by
    `threshold`.
    """
    moved = z - reference
    near = ops.abs(moved) <= threshold
    return ops.where(near, reference + 0 * moved, z - ops.clip(moved, -threshold, threshold))


def shrink_towards(z, threshold, reference):
    """`argmin_x  threshold (x - reference)^2 + (x - z)^2 / 2`, elementwise.

    `(z + 2 threshold reference) / (1 + 2 threshold)`.
    """
    # This form is correct for thresholds of 0 and infinity too.
    return z / (1.0 + 2.0 * threshold) + reference / (1.0 + ops.reciprocal(2.0 * threshold))
