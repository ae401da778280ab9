"""The variables that are pruned by default, and the reasons why others are not."""

import keras
from keras import layers

from kerasreg._graph.families import NORMALIZATION
from kerasreg._graph.variables import owners


def prunable(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables that are pruned unless `include` or `exclude` selects others."""
    reasons = why_not_prunable(model)
    return [variable for variable in model.weights if reasons[id(variable)] is None]


def why_not_prunable(model: keras.Model) -> dict[int, str | None]:
    """Returns `{id(variable): why it is not pruned by default, or None}` for all weights."""
    layer_of = owners(model)
    trainable = {id(variable) for variable in model.trainable_variables}
    return {
        id(variable): impossible(variable, id(variable) in trainable)
        or _unwanted(variable, layer_of.get(id(variable)))
        for variable in model.weights
    }


def impossible(variable: keras.Variable, is_trainable: bool) -> str | None:
    """Returns why a variable cannot be pruned, even if `include` names it, or None."""
    # An empty shape is true on TensorFlow.
    if not tuple(variable.shape) or 0 in variable.shape:
        return "it is empty or a scalar"
    if not keras.backend.is_float_dtype(variable.dtype):
        return f"its dtype is {variable.dtype}"
    return None if is_trainable else "it is not trainable"


def _unwanted(variable, layer):
    """Returns why a variable is pruned only if `include` names it, or None."""
    if isinstance(layer, NORMALIZATION):
        return "a weight of a normalization: name it in `include` to prune it"
    if isinstance(layer, layers.PReLU):
        return "slopes of an activation: name them in `include` to prune them"
    if len(variable.shape) == 1 or variable.name == "bias":
        return "a bias or other 1-D variable: name it in `include` to prune it"
    if variable.name.startswith("lora_"):
        return "an adapter (LoRA): merge it first, or name it in `include` to prune it"
    return None
