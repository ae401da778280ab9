"""Depthwise kernels on the way to other kernels: they let a unit through, or not."""

from kerasreg._graph.families import DEPTHWISE, SEPARABLE
from kerasreg._graph.tracing import functional_of, trace


def is_gate(layer, variable) -> bool:
    """Whether a variable of a layer is a depthwise kernel."""
    separable = isinstance(layer, SEPARABLE) and variable.name == "depthwise_kernel"
    return separable or isinstance(layer, DEPTHWISE)


def gates_of(model, kernels) -> dict[int, set[int]]:
    """`{id(kernel): ids of the depthwise kernels between it and the kernels before it}`.

    Where branches are added or joined, a unit may come from another one, so that no gate in front
    of them counts; where they are multiplied, all do. Of a layer that is called several times, the
    gates that all of its calls have.

    Args:
        model: a Functional or Sequential model.
        kernels: `{id(variable): ...}` of what computes or reads units.
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
    """The depthwise kernel of a layer itself."""
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
