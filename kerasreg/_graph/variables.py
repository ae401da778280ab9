"""The layers and variables of a model, and the layer that owns each variable."""

import re

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import nearest


def require_built(model, caller):
    """Raises a `ValueError` unless all layers of a model are built."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`{caller}` needs a Keras model. Received: {model!r}")
    layers = [layer for layer in all_layers(model) if layer is not model or _may_add_weights(model)]
    unbuilt = [layer.name for layer in layers if not layer.built]
    if unbuilt or not model.weights:
        raise ValueError(
            f"`{caller}` needs a built model, because it uses its variables. Received: "
            f"'{model.name}', in which {unbuilt[:5] or 'no layer'} "
            f"{'are not built' if unbuilt else 'has weights'}. Start the model with "
            "`keras.Input(shape)`, call `model.build(input_shape)`, or call it once on a batch."
        )


def _may_add_weights(model):
    # A model that only contains other models (a `Distiller`) is never marked as built.
    return type(model).build is not keras.Model.build or not model.layers


def all_layers(model):
    """Returns the model and all layers in it, including nested ones, each once."""
    # Keras has no public method that includes layers inside of layers that are not models.
    return list(model._flatten_layers())


def owners(model):
    """Returns `{id(variable): layer that created it}`."""
    # `layer.weights` includes the weights of sublayers; these private lists do not.
    return {
        id(variable): layer
        for layer in all_layers(model)
        for variable in layer._trainable_variables + layer._non_trainable_variables
    }


def unique_path(path, taken):
    """Returns the path, with a number appended if it is already in `taken`."""
    name, count = path, 1
    while name in taken:
        count += 1
        name = f"{path}_{count}"
    return name


def require_compiled(model, caller):
    """Raises a `ValueError` unless a model is compiled with an optimizer and a loss."""
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"`{caller}` needs a compiled model, because it uses its loss. Received: "
            f"'{model.name}', which is not compiled. Call `model.compile(...)`."
        )


def require_matches(pattern, name, paths):
    """Raises a `ValueError` unless a regular expression is None or found in one of the paths."""
    validation.expression(pattern, name)
    if pattern is None:
        return
    found = any(re.search(pattern, path) for path in paths)
    if not found:
        raise ValueError(
            f"`{name}` must be found in the path of a variable. Received: {name}={pattern!r}; "
            f"{nearest(pattern, paths)}."
        )


def host_view(variable):
    """Returns the weights as a NumPy array, without a copy if the backend allows that."""
    if keras.backend.backend() == "tensorflow":
        try:
            return np.asarray(memoryview(variable.value.value()))
        except (TypeError, ValueError, BufferError):
            # The dtype has no buffer (bfloat16), or there are several tensors (mirrored variable).
            pass
    return np.asarray(ops.convert_to_numpy(variable))
