"""The statistics of one variable, computed in one pass over its memory."""

import math

import numpy as np
from keras import ops

from kerasreg._graph.groups import count_groups, zero_groups
from kerasreg._graph.variables import host_view

_BLOCK = 65_536


def measure(variable, groups):
    """Computes the statistics of a variable.

    Args:
        variable: a Keras variable.
        groups: `{name: Groups}`.

    Returns:
        `(zeros, nonfinite, l1, l2, max, {name: bool array})`; the arrays are True for each group
        whose weights are all zero.
    """
    on_host = _is_on_host(variable)
    return (measure_on_host if on_host else measure_on_device)(variable, groups)


def is_finite(variable):
    """Returns whether no weight is NaN or infinite."""
    if _is_on_host(variable):
        return bool(np.isfinite(host_view(variable)).all())
    return bool(ops.all(ops.isfinite(ops.convert_to_tensor(variable))))


def measure_on_host(variable, groups):
    """Computes the statistics with NumPy, with the accuracy of float32 or better."""
    array = host_view(variable)
    flat = array.reshape(-1)
    # float32 cannot represent large integers.
    dtype = np.float64 if array.itemsize == 8 or array.dtype.kind in "iu" else np.float32
    nonzero = np.empty(min(_BLOCK, flat.size), bool)
    magnitude = np.empty(nonzero.shape, dtype)
    zeros, nonfinite, l1, squares, largest = 0, 0, 0.0, 0.0, 0.0
    # Blocks fit into the cache, so that memory is read once. BLAS is not used: its threads would
    # compete with those of the input pipeline, and it is less accurate.
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            size = block.size
            zeros += size - int(np.count_nonzero(np.not_equal(block, 0, out=nonzero[:size])))
            block = np.abs(block.astype(dtype, copy=False), out=magnitude[:size])
            top = float(block.max())
            if not 1e-15 < top < 1e15:
                # The squares would underflow or overflow in float32.
                block = block.astype(np.float64)
            if not math.isfinite(top):
                nonfinite += size - int(np.count_nonzero(np.isfinite(block)))
            # `np.maximum` propagates NaN.
            largest = float(np.maximum(largest, top))
            l1 += float(block.sum())
            squares += float(np.square(block, out=block).sum())
    dead = {name: zero_groups(array, each, zeros) for name, each in groups.items()}
    return zeros, nonfinite, l1, math.sqrt(squares), largest, dead


def measure_on_device(variable, groups):
    """Computes the statistics on the device, in the weights' precision (at least float32)."""
    value = ops.convert_to_tensor(variable)
    nonzero = ops.not_equal(value, 0)
    dtype = "float64" if variable.dtype == "float64" else "float32"
    magnitude = ops.abs(ops.cast(value, dtype))
    largest = ops.max(magnitude, initial=0)
    # Relative to the largest weight, squares cannot overflow in float32.
    unit = ops.clip(largest, 1e-37, 1e37)
    root = ops.sqrt(ops.sum(ops.square(magnitude / unit)))
    sums = ops.stack([ops.sum(magnitude), root, unit, largest])
    masks = [ops.logical_not(nonzero), ops.logical_not(ops.isfinite(magnitude))]
    counts = [ops.reshape(ops.sum(ops.cast(mask, "int32")), (1,)) for mask in masks]
    for each in groups.values():
        view, axes = each.layout(variable.shape)
        zero = ops.logical_not(ops.any(ops.reshape(nonzero, view), axis=axes))
        counts.append(ops.cast(ops.reshape(zero, (-1,)), "int32"))
    # Only two transfers, because each waits for the device.
    l1, root, unit, largest = map(float, ops.convert_to_numpy(sums))
    # The maximum of XLA may ignore NaN, its sum does not.
    largest = l1 if math.isnan(l1) else largest
    sizes = [count_groups(each, variable.shape) for each in groups.values()]
    (zeros, nonfinite), *dead = np.split(
        np.asarray(ops.convert_to_numpy(ops.concatenate(counts))), np.cumsum([2, *sizes])[:-1]
    )
    dead = {name: each.astype(bool) for name, each in zip(groups, dead, strict=True)}
    return int(zeros), int(nonfinite), l1, root * unit, largest, dead


def _is_on_host(variable):
    return "cpu" in str(getattr(variable.value, "device", "cpu")).lower()
