"""The rule of attention layers without projections."""

import numpy as np
from keras import layers

from kerasreg._graph.analysis import Reader
from kerasreg._graph.rules.attention import is_masked
from kerasreg._graph.rules.base import Rule, labels_of, pin_other_axes, rule_for
from kerasreg._graph.rules.elementwise import without_padding


@rule_for(layers.Attention)
class _Attention(Rule):
    """Scores are products of queries and keys; the output is a weighted mean of the values."""

    def label(self, call, analysis):
        query, value, *key = _list_of(call)
        for tensor in call.inputs:
            is_feature = any(tensor is each for each in (query, value, *key))
            pin_other_axes(tensor, -1 if is_feature else tensor.rank, call, analysis)
        key = (key or [value])[0]
        analysis.labels.unify(labels_of(query, -1), labels_of(key, -1))
        if call.operation.score_mode != "dot":
            # The score is a sum of tanh(query + key).
            analysis.pin(query, f"'{call.operation.name}' sums over all features")
        call.outputs[0].labels[call.outputs[0].rank - 1] = labels_of(value, -1)
        call.memory.update(query=query, key=key, value=value)

    def constants(self, call, analysis):
        output, value = call.outputs[0], call.memory["value"]
        constants = without_padding(value, value.constant(-1))
        if is_masked(call, _list_of(call)):
            # The output of masked queries is zero.
            constants = np.where(constants == 0, 0.0, np.nan)
        output.constants[output.rank - 1] = constants

    def readers(self, call, analysis):
        query, key = call.memory["query"], call.memory["key"]
        constants = without_padding(key, key.constant(-1))
        matters = ~((query.constant(-1) == 0) | np.isfinite(constants))
        return [
            Reader(
                labels=labels_of(query, -1)[None],
                # Every output depends on the scores.
                writes=np.zeros((1, 1), int),
                connected=matters[:, None],
                constants=np.full(len(matters), np.nan),
            )
        ]


def _list_of(call):
    """Returns the list with the query, the value and optionally the key."""
    return list(call.args[0] if call.args else call.kwargs["inputs"])
