"""The layers and variables of a model, and who owns what."""

import re

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import nearest


def require_built(model, caller):
    """Raise a `ValueError` that says how to build, unless every variable of the model exists."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`{caller}` needs a Keras model. Received: {model!r}")
    layers = [layer for layer in all_layers(model) if layer is not model or _may_add_weights(model)]
    unbuilt = [layer.name for layer in layers if not layer.built]
    if unbuilt or not model.weights:
        raise ValueError(
            f"`{caller}` needs a built model, because it works on the variables. Received: "
            f"'{model.name}', in which {unbuilt[:5] or 'no layer'} "
            f"{'are not built' if unbuilt else 'has weights'}. Start the model with "
            "`keras.Input(shape)`, call `model.build(input_shape)`, or call it once on a batch."
        )


def _may_add_weights(model):
    # A model of other models (a `Distiller`) is never built itself.
    return type(model).build is not keras.Model.build or not model.layers


def all_layers(model):
    """The model and every layer in it, nested ones included, each once."""
    # Keras has no public walk that also enters layers that are not models.
    return list(model._flatten_layers())


def owners(model):
    """`{id(variable): layer}`: the layer that created each variable."""
    # `layer.weights` also lists the weights of sublayers; only these two tell whose they are.
    return {
        id(variable): layer
        for layer in all_layers(model)
        for variable in layer._trainable_variables + layer._non_trainable_variables
    }


def unique_path(path, taken):
    """The path, with a number behind it if it is taken already."""
    name, count = path, 1
    while name in taken:
        count += 1
        name = f"{path}_{count}"
    return name


def require_compiled(model, caller):
    """Raise a `ValueError` unless the model has an optimizer and a loss."""
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"`{caller}` needs a compiled model, because it works with its loss. Received: "
            f"'{model.name}', which is not. Call `model.compile(...)`."
        )


def require_matches(pattern, name, paths):
    """Raise unless a regular expression is None, or found in one of the paths."""
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
    """The weights as a NumPy array, without a copy where the backend allows."""
    if keras.backend.backend() == "tensorflow":
        try:
            return np.asarray(memoryview(variable.value.value()))
        except (TypeError, ValueError, BufferError):
            # No buffer of this dtype (bfloat16), or not one tensor (a mirrored variable).
            pass
    return np.asarray(ops.convert_to_numpy(variable))
