"""Depthwise kernels between other kernels: a zero filter blocks its unit."""

from kerasreg._graph.families import DEPTHWISE, SEPARABLE
from kerasreg._graph.tracing import functional_of, trace


def is_gate(layer, variable) -> bool:
    """Returns whether a variable of a layer is a depthwise kernel."""
    separable = isinstance(layer, SEPARABLE) and variable.name == "depthwise_kernel"
    return separable or isinstance(layer, DEPTHWISE)


def gates_of(model, kernels) -> dict[int, set[int]]:
    """Returns the depthwise kernels between each kernel and the kernels before it.

    If branches are added or concatenated, a unit may be computed by another branch, so gates
    before that point do not count. If branches are multiplied, the gates of all count. For a layer
    that is called several times, only gates that all of its calls have count.

    Args:
        model: a Functional or Sequential model.
        kernels: a dict or set with the ids of the variables that compute or read units.

    Returns:
        `{id(kernel): ids of depthwise kernels}`.
    """
    graph = trace(functional_of(model))
    writers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
    found: dict[int, set[int]] = {}
    for call in graph.calls:
        before = _before(call, writers, kernels)
        for variable in _variables(call, kernels):
            own = before | _own(call.operation) - {id(variable)}
            found[id(variable)] = found.get(id(variable), own) & own
    return found


def _variables(call, kernels):
    weights = getattr(call.operation, "weights", None) or []
    return [variable for variable in weights if id(variable) in kernels]


def _own(operation):
    """Returns the id of the depthwise kernel of a layer, as a set."""
    if isinstance(operation, SEPARABLE + DEPTHWISE):
        weights = operation.weights
        return {id(variable) for variable in weights if is_gate(operation, variable)}
    return set()


def _before(call, writers, kernels):
    multiplies = type(call.operation).__name__ == "Multiply"
    if len(call.inputs) != 1 and not multiplies:
        return set()
    found = set()
    for tensor in call.inputs:
        writer = writers.get(id(tensor))
        if writer is None:
            continue
        own = _own(writer.operation)
        only_gates = {id(each) for each in _variables(writer, kernels)} <= own
        if only_gates and (own or not _variables(writer, kernels)):
            found |= own | _before(writer, writers, kernels)
    return found
