"""Tensors that may have a Keras mask, which is attached to them and not an argument."""

import keras
from keras import tree


def may_be_masked(operation, args, kwargs, outputs):
    """Returns a bool for each output of a call: whether it may have a mask at run time.

    Args:
        operation: the layer or operation that is called.
        args, kwargs: its arguments, with a bool for each tensor: whether it may be masked.
        outputs: the symbolic output tensors.
    """
    leaves = tree.flatten((args, kwargs))
    is_masked = any(each is True for each in leaves)
    if not isinstance(operation, keras.Layer):
        # Functions of `keras.ops` may return their input unchanged, with its mask.
        return [is_masked] * len(outputs)
    if getattr(operation, "mask_zero", False):
        return [True] * len(outputs)
    is_own = not type(operation).__module__.startswith("keras.src.")
    if not operation.supports_masking:
        # A custom layer that returns its input unchanged keeps the mask.
        return [is_masked and is_own] * len(outputs)
    found = [is_own and _has_mask(each) for each in outputs]
    return [a or b for a, b in zip(found, _computed(operation, args, kwargs, outputs), strict=True)]


def _has_mask(tensor):
    return getattr(tensor, "_keras_mask", None) is not None


def _computed(operation, args, kwargs, outputs):
    """Returns whether `compute_mask` gives each output a mask; True if it needs tensors."""
    first = args[0] if args else next(iter(kwargs.values()), None)
    is_given = kwargs.get("mask") is True
    given = tree.map_structure(lambda each: True if each is True or is_given else None, first)
    try:
        masks = tree.flatten(operation.compute_mask(None, given))
    except Exception:
        # It needs the values of the tensors.
        return [True] * len(outputs)
    found = [each is not None for each in masks]
    return found if len(found) == len(outputs) else [any(found)] * len(outputs)
