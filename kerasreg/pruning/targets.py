"""Which variables of a model are pruned, in which units, and why the others are not."""

import re

import keras
from keras import layers

from kerasreg.notes import notes_on
from kerasreg.pruning.outputs import Outputs
from kerasreg.pruning.units import Target
from kerasreg.regularizers.roles import model_roles
from kerasreg.variables import owners, require_built, require_matches, unique_path

_NORMALIZATION = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
)


def find_targets(model, pattern, include, exclude, caller):
    """`(targets, {path: why it is not pruned})`.

    Raises:
        ValueError: for an unbuilt model, an expression that matches nothing, or where nothing is
            left to prune.
    """
    require_built(model, caller)
    layer_of, roles = owners(model), model_roles(model)
    trainable = {id(variable) for variable in model.trainable_variables}
    variables = model.weights
    paths = [variable.path for variable in variables]
    require_matches(include, "include", paths)
    require_matches(exclude, "exclude", paths)
    targets, skipped, taken, outputs = [], {}, set(), None
    for variable in variables:
        path = unique_path(variable.path, taken)
        taken.add(path)
        reason = _obstacle(variable, layer_of.get(id(variable)), trainable, include, exclude)
        if reason is None:
            own = roles.get(id(variable), {})
            try:
                units = pattern.bind(variable, own)
            except ValueError as error:
                reason = f"the pattern does not fit: {error}"
            else:
                if include is None and _are_outputs(units, own):
                    outputs = outputs or Outputs(model)
                    reason = _output_of(outputs, variable, units)
                if reason is None:
                    targets.append(Target(variable, units, path))
        if reason is not None:
            skipped[path] = reason
    require_targets(targets, skipped, model, caller)
    return targets, skipped


def prunable(model):
    """The variables that are pruned where nobody says which."""
    layer_of = owners(model)
    trainable = {id(variable) for variable in model.trainable_variables}
    return [
        variable
        for variable in model.weights
        if _obstacle(variable, layer_of.get(id(variable)), trainable, None, None) is None
    ]


def require_targets(targets, skipped, model, caller):
    """Raise where nothing is left to prune."""
    if not targets:
        listed = "\n".join(f"  {path}: {reason}" for path, reason in skipped.items())
        notes = "".join(f"\n({note})" for note in notes_on(model))
        raise ValueError(f"`{caller}` finds nothing to prune in '{model.name}':\n{listed}{notes}")


def _are_outputs(units, roles):
    """Whether units are what a layer gives out."""
    if units.groups is None or "output" not in roles:
        return False
    return units.groups.layout(units.shape) == roles["output"].layout(units.shape)


def _output_of(outputs, variable, units):
    """Why the units of a layer are not pruned if they are outputs of the model, or None."""
    if variable in outputs:
        return "its units are outputs of the model: include it by name"
    if outputs.unknown is not None:
        units.remark = units.remark or (
            f"'{outputs.unknown}' hides which units are outputs of the model: exclude those by name"
        )
    return None


def _obstacle(variable, layer, trainable, include, exclude):
    """Why a variable is not pruned, or None."""
    # TensorFlow's empty shape is true.
    if not tuple(variable.shape) or 0 in variable.shape:
        return "it is empty or a scalar"
    if not keras.backend.is_float_dtype(variable.dtype):
        return f"its dtype is {variable.dtype}"
    if exclude is not None and re.search(exclude, variable.path):
        return "`exclude` matches it"
    if include is not None and not re.search(include, variable.path):
        return "`include` does not match it"
    if id(variable) not in trainable:
        return "it is not trainable"
    if include is not None:
        return None
    if isinstance(layer, _NORMALIZATION):
        return "a weight of a normalization: include it by name"
    if isinstance(layer, layers.PReLU):
        return "slopes of an activation: include them by name"
    if len(variable.shape) == 1 or variable.name == "bias":
        return "a bias, or another vector: include it by name"
    if variable.name.startswith("lora_"):
        return "an adapter (LoRA): merge it first, or include it by name"
    return None
