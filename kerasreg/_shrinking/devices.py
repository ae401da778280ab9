"""Check of the remaining sizes against the sharding of `keras.distribution`."""

import keras

from kerasreg._graph.analysis import RuleError


def require_even_shards(operation, slices, kept):
    """Raises a `RuleError` if a remaining size cannot be split evenly over its devices."""
    if keras.distribution.distribution() is None:
        return
    for variable in getattr(operation, "weights", ()):
        found, sharding = slices.get(id(variable)), getattr(variable.value, "sharding", None)
        if found is None or sharding is None:
            continue
        shape = tuple(variable.shape)
        shards = sharding.shard_shape(shape)
        for axis, labels in found.axes.items():
            size, devices = kept(labels), shape[axis] // shards[axis]
            if size % devices:
                reason = (
                    f"axis {axis} of '{variable.path}' would keep {size} of {shape[axis]} units, "
                    f"which cannot be split evenly over {devices} devices of "
                    f"`keras.distribution`; pass `round_to={devices}`"
                )
                raise RuleError(operation, ValueError(reason), reason)
