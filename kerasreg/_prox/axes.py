"""Reductions over groups: slices along `axes`, with fixed indices along the other axes."""

from keras import ops


def largest(x, axes):
    """Returns the largest `|x|` of each group; 1 for groups of zeros, so that it can divide."""
    scale = ops.max(ops.abs(x), axis=axes, keepdims=True)
    return ops.where(scale == 0, ops.ones_like(scale), scale)


def norm(x, axes):
    """Returns `||x||` of each group."""
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


def rows(x, axes):
    """Returns `x` with `axes` merged into one last axis."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    return ops.reshape(ops.transpose(x, [*kept, *axes]), [*(x.shape[axis] for axis in kept), -1])


def from_rows(x, shape, axes):
    """Inverts `rows`, for an `x` that had the shape `shape`."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = [*kept, *axes]
    x = ops.reshape(x, [shape[axis] for axis in moved])
    return ops.transpose(x, [moved.index(axis) for axis in range(len(shape))])


def in_layout(operator, z, step, layout, *parameters):
    """Applies an operator along `axes` of `z` in the shape `view`, with `layout = (view, axes)`."""
    view, axes = layout
    x = operator(ops.reshape(z, view), _viewed(step, z, view), *parameters, axes)
    return ops.reshape(x, z.shape)


def in_layout_from(operator, z, step, start, layout):
    """`operator(z, step, start, axes)` likewise, for one that returns `(x, start)`."""
    view, axes = layout
    x, start = operator(ops.reshape(z, view), _viewed(step, z, view), start, axes)
    return ops.reshape(x, z.shape), start


def _viewed(step, z, view):
    if len(step.shape):
        return ops.reshape(ops.broadcast_to(step, z.shape), view)
    return ops.reshape(step, (1,) * len(view))
