"""Checks that a model can be analysed and shrunk."""

import keras
import numpy as np

from kerasreg._graph.tracing import is_model
from kerasreg._graph.variables import all_layers, host_view, require_built


def require_shrinkable(model, caller):
    """Raises a `ValueError` unless a model has a graph, and plain finite weights."""
    require_graph(model, caller)
    for variable in model.weights:
        if keras.backend.is_float_dtype(variable.dtype) and not _is_finite(variable):
            raise ValueError(
                f"`{caller}` needs finite weights. Received: NaN or infinite weights in "
                f"'{variable.path}'. Load a checkpoint with finite weights."
            )


def _is_finite(variable):
    values = host_view(variable)
    return values.size == 0 or bool(np.isfinite([values.min(), values.max()]).all())


def require_graph(model, caller):
    """Raises a `ValueError` unless a model has a graph of layers in floating point."""
    require_built(model, caller)
    if not is_model(model):
        raise ValueError(
            f"`{caller}` needs a Functional or Sequential model, because it follows the "
            f"graph of its layers. Received: '{model.name}', a {type(model).__name__}, which has "
            "its own `call`. Create it as `keras.Model(inputs, outputs)`, or pass a Functional or "
            "Sequential model that it contains."
        )
    for layer in all_layers(model):
        if getattr(layer, "lora_enabled", False):
            raise ValueError(
                f"`{caller}` needs a model without adapters. Received: '{layer.name}' with "
                "LoRA. Merge it: create the model without LoRA, and load the file of "
                "`model.save_weights`, which contains merged weights."
            )
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                f"`{caller}` needs a model in floating point. Received: '{layer.name}', "
                f"quantized to {layer.quantization_mode}. Shrink first, then quantize."
            )
