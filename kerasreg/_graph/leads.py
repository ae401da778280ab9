"""The special values of the inputs of a model: ids of embeddings, and masked steps."""

from dataclasses import dataclass

import numpy as np
from keras import layers, ops

from kerasreg._graph.tracing import trace


@dataclass
class Lead:
    """The special values of the layers that read an input.

    Attributes:
        high: number of ids of the smallest embedding; 2 without an embedding.
        hidden: the value of steps that a `Masking` masks.
    """

    high: int = 2
    hidden: float = 0.0


def leads_of(model, high: int | None = None) -> list[Lead]:
    """Returns the `Lead` of each input of a model with a graph; `high` replaces all of theirs."""
    graph = trace(model)
    found = [Lead(high=0) for _ in graph.inputs]
    from_inputs = {id(tensor): {place} for place, tensor in enumerate(graph.inputs)}
    for call in graph.calls:
        places = set().union(*(from_inputs.get(id(each), ()) for each in call.inputs))
        inside: list = list(getattr(call.operation, "_flatten_layers", list)())
        tables = [each.input_dim for each in inside if isinstance(each, layers.Embedding)]
        for place in places:
            lead = found[place]
            lead.high = min([*tables, *[lead.high] * bool(lead.high)], default=0)
            if isinstance(call.operation, layers.Masking):
                lead.hidden = float(np.mean(ops.convert_to_numpy(call.operation.mask_value)))
        if not getattr(call.operation, "weights", None):
            from_inputs.update({id(each): places for each in call.outputs})
    return [Lead(high or each.high or 2, each.hidden) for each in found]
