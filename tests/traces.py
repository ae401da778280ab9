"""Frees the traced steps of trainings that are over."""

import keras


def free_traces():
    """Removes what TensorFlow keeps of each training that Keras traced, with all of its graph.

    Keras sums gradients over replicas with a function that has a custom gradient, which TensorFlow
    registers for the life of the process. Thousands of trainings in one process fill its memory,
    and make each garbage collection slow.
    """
    if keras.backend.backend() != "tensorflow":
        return
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    for name in [name for name, entry in registry.items() if _is_sum_over_replicas(entry["type"])]:
        del registry[name]


def _is_sum_over_replicas(gradient, depth=3):
    """Whether `gradient` is a function around `tf.distribute.ReplicaContext.all_reduce`."""
    if "ReplicaContextBase.all_reduce" in getattr(gradient, "__qualname__", ""):
        return True
    cells = [cell.cell_contents for cell in getattr(gradient, "__closure__", None) or ()]
    return depth > 0 and any(_is_sum_over_replicas(each, depth - 1) for each in cells)
