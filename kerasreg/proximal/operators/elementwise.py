"""Of single weights: convex penalties."""

from keras import ops


def soft_threshold(z, threshold):
    """`argmin_x  |x| threshold + (x - z)^2 / 2`, elementwise: `sign(z) max(|z| - threshold, 0)`."""
    # Exactly 0.0 inside the threshold, and one pass less than the form with the sign. Not
    # `ops.minimum`, which rounds float64 to float32 on torch.
    return z - ops.clip(z, -threshold, threshold)


def shrink(z, threshold):
    """`argmin_x  threshold x^2 + (x - z)^2 / 2`, elementwise: `z / (1 + 2 threshold)`."""
    return z / (1.0 + 2.0 * threshold)
