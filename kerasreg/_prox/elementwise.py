"""Proximal operators of convex penalties of single weights."""

from keras import ops


def soft_threshold(z, threshold):
    """`argmin_x  |x| threshold + (x - z)^2 / 2`, elementwise: `sign(z) max(|z| - threshold, 0)`."""
    # Exactly 0.0 inside the threshold, and one pass less than the form with the sign. Not
    # `ops.minimum`, which rounds float64 to float32 on torch.
    return z - ops.clip(z, -threshold, threshold)


def shrink(z, threshold):
    """`argmin_x  threshold x^2 + (x - z)^2 / 2`, elementwise: `z / (1 + 2 threshold)`."""
    return z / (1.0 + 2.0 * threshold)


def positive_threshold(z, threshold):
    """`argmin_{x >= 0}  threshold x + (x - z)^2 / 2`, elementwise: `max(z - threshold, 0)`."""
    # `z - z` is 0.0, but NaN for an infinity.
    return ops.where(z <= threshold, z - z, z - threshold)


def soft_threshold_towards(z, threshold, reference):
    """`argmin_x  threshold |x - reference| + (x - z)^2 / 2`, elementwise.

    `reference` where `|z - reference| <= threshold`, exactly, else z moved towards it.
    """
    moved = z - reference
    near = ops.abs(moved) <= threshold
    return ops.where(near, reference + 0 * moved, z - ops.clip(moved, -threshold, threshold))


def shrink_towards(z, threshold, reference):
    """`argmin_x  threshold (x - reference)^2 + (x - z)^2 / 2`, elementwise.

    `(z + 2 threshold reference) / (1 + 2 threshold)`.
    """
    # In a form for thresholds of 0, and infinite ones.
    return z / (1.0 + 2.0 * threshold) + reference / (1.0 + ops.reciprocal(2.0 * threshold))
