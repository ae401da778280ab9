"""Where the masks of Keras may be: they travel with tensors, and not as arguments."""

import keras
from keras import tree


def may_be_masked(operation, args, kwargs, outputs):
    """Whether each output of a call may have a mask at run time.

    Args:
        operation: what is called.
        args, kwargs: with a bool for each tensor: whether it may be masked.
        outputs: the symbolic tensors.
    """
    leaves = tree.flatten((args, kwargs))
    is_masked = any(each is True for each in leaves)
    if not isinstance(operation, keras.Layer):
        # `keras.ops` return what they got where there is nothing to do.
        return [is_masked] * len(outputs)
    if getattr(operation, "mask_zero", False):
        return [True] * len(outputs)
    is_own = not type(operation).__module__.startswith("keras.src.")
    if not operation.supports_masking:
        # A layer of a user that returns what it got keeps the mask on it.
        return [is_masked and is_own] * len(outputs)
    found = [is_own and _has_mask(each) for each in outputs]
    return [a or b for a, b in zip(found, _computed(operation, args, kwargs, outputs), strict=True)]


def _has_mask(tensor):
    return getattr(tensor, "_keras_mask", None) is not None


def _computed(operation, args, kwargs, outputs):
    """What `compute_mask` says of masks, as far as it answers without tensors."""
    first = args[0] if args else next(iter(kwargs.values()), None)
    is_given = kwargs.get("mask") is True
    given = tree.map_structure(lambda each: True if each is True or is_given else None, first)
    try:
        masks = tree.flatten(operation.compute_mask(None, given))
    except Exception:
        # It looks at numbers.
        return [True] * len(outputs)
    found = [each is not None for each in masks]
    return found if len(found) == len(outputs) else [any(found)] * len(outputs)
