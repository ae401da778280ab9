"""Proximal operators of penalties of singular values."""

from keras import ops

from kerasreg._prox.elementwise import soft_threshold


def singular_soft_threshold(z, threshold):
    """`argmin_X  threshold ||X||_* + ||X - z||_F^2 / 2` (Cai, Candes & Shen, 2010)."""
    return _map_singular_values(z, lambda values: soft_threshold(values, threshold))


def singular_hard_threshold(z, threshold):
    """`argmin_X  threshold rank(X) + ||X - z||_F^2 / 2`.

    Singular values up to `sqrt(2 threshold)` become zero; the others are unchanged.
    """
    level = ops.sqrt(2.0 * threshold)
    return _map_singular_values(
        z, lambda values: ops.where(values > level, values, ops.zeros_like(values))
    )


def svd(z):
    """Returns the thin SVD of a matrix, `(left, values, right, whether all entries are finite)`.

    If an entry is not finite, it is the SVD of a zero matrix, because the SVD of some backends
    does not end for such matrices.
    """
    finite = ops.all(ops.isfinite(z))
    left, values, right = ops.svd(ops.where(finite, z, ops.zeros_like(z)), full_matrices=False)
    return left, values, right, finite


def _map_singular_values(z, function):
    left, values, right, finite = svd(z)
    new = function(values)
    # Not `ops.matmul`, which computes in float32 on torch.
    x = (left * new) @ right
    # Without a changed value, the result is z itself. If all are zero, the product may have -0.0.
    x = ops.where(ops.all(new == values), z, x)
    x = ops.where(ops.any(new != 0), x, ops.zeros_like(x))
    return ops.where(finite, x, z)
