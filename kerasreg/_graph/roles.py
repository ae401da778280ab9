"""The axes that `"output"`, `"input"` and `"head"` name in the variables of Keras' layers."""

from keras import layers

from kerasreg._graph.families import (
    ATTENTION,
    CONV,
    CONV_TRANSPOSE,
    DEPTHWISE,
    NORMALIZATION,
    SEPARABLE,
    gates_of_cell,
)
from kerasreg._graph.groups import Groups
from kerasreg._graph.variables import all_layers

#: Layers whose 1-D variables have one weight per output feature.
_PER_FEATURE = (
    layers.Dense,
    layers.Embedding,
    *CONV,
    *CONV_TRANSPOSE,
    *DEPTHWISE,
    *SEPARABLE,
    *NORMALIZATION,
)


def model_roles(model):
    """Returns `{id(variable): {role: Groups}}` for every trainable variable of a built model."""
    roles = {
        id(variable): _roles_of(layer, variable)
        for layer in all_layers(model)
        for variable in layer._trainable_variables
    }
    for layer in all_layers(model):
        if isinstance(layer, ATTENTION):
            for variable, axis in _head_axes(layer):
                roles[id(variable)]["head"] = Groups(axis)
    return roles


def groups_of(variable, roles, role):
    """Returns the groups that `role` names; raises a `ValueError` if it has no meaning."""
    if role not in roles:
        possible = [*roles, *range(len(variable.shape))]
        raise ValueError(
            f"`axis={role!r}` has no meaning for '{variable.path}' of shape "
            f"{tuple(variable.shape)}. Pass one of {possible}."
        )
    return roles[role]


def _roles_of(layer, variable):
    """Returns `{role: Groups}` of a variable; empty if the layer is unknown.

    Roles refer to the inputs and outputs of the variable itself: the inputs of a recurrent kernel
    are the units of the previous step.
    """
    rank, name = len(variable.shape), variable.name
    if name.startswith("lora_"):
        # The axes of a factor differ from those of the kernel.
        return {}
    if isinstance(layer, layers.EinsumDense):
        return _einsum_roles(layer, name, rank)
    gates = gates_of_cell(layer)
    if gates:
        reads = {"input": Groups(-2)} if "kernel" in name else {}
        return {"output": Groups(-1, gates), **reads}
    if rank == 1 and isinstance(layer, _PER_FEATURE):
        return {"output": Groups(0)}
    if rank == 2 and isinstance(layer, (layers.Dense, layers.Embedding)):
        return {"output": Groups(-1), "input": Groups(0)}
    if isinstance(layer, CONV_TRANSPOSE):
        return {"output": Groups(-2), "input": Groups(-1)}
    if isinstance(layer, SEPARABLE) and name == "pointwise_kernel":
        return {"output": Groups(-1), "input": Groups(-2)}
    if isinstance(layer, (*SEPARABLE, *DEPTHWISE)):
        return {"output": Groups((-2, -1)), "input": Groups(-2)}
    if isinstance(layer, CONV):
        # The groups of a grouped convolution share the input axis: its indices are not features.
        reads = {"input": Groups(-2)} if layer.groups == 1 else {}
        return {"output": Groups(-1), **reads}
    return {}


def _head_axes(attention):
    for name in ("_query_dense", "_key_dense", "_value_dense", "_gate_dense"):
        # The gate is optional. Adapters have no axis of heads.
        dense = getattr(attention, name, None)
        for variable in dense._trainable_variables if dense is not None else ():
            if variable.name in ("kernel", "bias"):
                yield variable, len(variable.shape) - 2
    for variable in attention._output_dense._trainable_variables:
        if variable.name == "kernel":
            yield variable, 0


def _einsum_roles(layer, name, rank):
    if name == "bias":
        return {"output": Groups(tuple(range(rank)))}
    if name != "kernel":
        return {}
    inputs, kernel, outputs = layer.equation.replace("->", ",").replace("...", "").split(",")
    written = tuple(i for i, letter in enumerate(kernel) if letter in outputs)
    read = tuple(i for i, letter in enumerate(kernel) if letter in inputs)
    return {role: Groups(axes) for role, axes in (("output", written), ("input", read)) if axes}
