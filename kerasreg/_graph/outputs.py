"""The variables of a model whose units are its outputs."""

from keras import layers

from kerasreg._graph.families import (
    ATTENTION,
    CONV,
    CONV_TRANSPOSE,
    DEPTHWISE,
    NORMALIZATION,
    SEPARABLE,
)
from kerasreg._graph.tracing import functional_of, trace
from kerasreg._graph.variables import all_layers

#: Layers whose outputs have new units.
_UNITS = (
    *(layers.Dense, layers.EinsumDense, layers.Embedding),
    *(*CONV, *CONV_TRANSPOSE),
)
#: Layers whose outputs have the units of their inputs.
_SAME_UNITS = (layers.PReLU, *DEPTHWISE, *NORMALIZATION)


class Outputs:
    """The variables whose units are outputs of a model.

    For a subclassed model they are unknown. If it contains models with a graph (the student of a
    `Distiller`), the outputs of these are used.

    Attributes:
        variables: a list of variables for each output; empty if the output is an input.
        unknown: the name of the layer or model that cannot be analysed, or None.
    """

    def __init__(self, model):
        self.variables, self.unknown = [], None
        graphs = [model] if _has_graph(model) else _graphs_in(model)
        if not graphs:
            self.unknown = model.name
        for each in graphs:
            try:
                graph = trace(each)
            except Exception:  # The graph cannot be traced.
                self.unknown = each.name
                continue
            writers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
            self.variables += [self._behind(tensor, writers) for tensor in graph.outputs]
        self._ids = {id(variable) for each in self.variables for variable in each}

    def __contains__(self, variable):
        return id(variable) in self._ids

    def _behind(self, tensor, writers):
        """Returns the variables that compute the units of a tensor."""
        found, waiting, seen = [], [tensor], set()
        while waiting:
            call = writers.get(id(waiting.pop()))
            if call is not None and id(call) not in seen:
                seen.add(id(call))
                variables, passes_on = self._computed_by(call.operation)
                found += variables
                waiting += call.inputs if passes_on else []
        return found

    def _computed_by(self, operation):
        """Returns `(variables that compute the output units, whether these are input units)`."""
        weights = getattr(operation, "trainable_variables", None) or []
        if isinstance(operation, layers.Bidirectional):
            return _all(map(self._computed_by, (operation.forward_layer, operation.backward_layer)))
        if isinstance(operation, layers.Wrapper):
            return self._computed_by(operation.layer)
        if isinstance(operation, layers.RNN):
            return self._computed_by(operation.cell)
        if isinstance(operation, layers.StackedRNNCells):
            return self._computed_by(operation.cells[-1])
        if isinstance(operation, ATTENTION):
            return operation._output_dense.trainable_variables, False
        if isinstance(operation, SEPARABLE):
            return [v for v in weights if v.name != "depthwise_kernel"], False
        if isinstance(operation, _UNITS) or hasattr(operation, "state_size"):
            return weights, False
        if weights and not isinstance(operation, _SAME_UNITS):
            self.unknown = operation.name
            return [], False
        return weights, True


def _all(found):
    variables, passes_on = zip(*found, strict=True)
    return [v for each in variables for v in each], any(passes_on)


def _has_graph(model):
    return hasattr(functional_of(model), "_nodes_by_depth")


def _graphs_in(model):
    """Returns the outermost models with a graph that a layer contains."""
    found, inside = [], set()
    for layer in all_layers(model):
        if layer is model or id(layer) in inside or not hasattr(layer, "layers"):
            continue
        if hasattr(getattr(layer, "_functional", layer), "_nodes_by_depth"):
            found.append(layer)
            inside.update(id(each) for each in all_layers(layer))
    return found
