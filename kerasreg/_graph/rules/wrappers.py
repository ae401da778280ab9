"""The rule of `TimeDistributed`, which applies a layer at every time step."""

from keras import layers

from kerasreg._graph.families import CONV, DEPTHWISE, POOLING, SEPARABLE
from kerasreg._graph.rules.base import Rule, rule_for, rule_of

#: Layers whose rules count axes from the last one, so that an additional first axis is allowed.
_FROM_THE_LAST = (
    *(layers.Activation, layers.BatchNormalization, layers.Dense, layers.Dropout, layers.ReLU),
    *(*CONV, *DEPTHWISE, *SEPARABLE, *POOLING),
)


@rule_for(layers.TimeDistributed)
class _TimeDistributed(Rule):
    """Applies the rule of the wrapped layer, with the time axis as an additional axis."""

    def label(self, call, analysis):
        inner = call.operation.layer
        is_last = getattr(inner, "axis", -1) == -1
        is_last &= getattr(inner, "data_format", None) != "channels_first"
        if type(inner) not in _FROM_THE_LAST or not is_last or len(call.inputs) > 1:
            super().label(call, analysis)
            return
        call.memory["call"] = type(call)(inner, call.args, call.kwargs, call.outputs)
        rule_of(inner).label(call.memory["call"], analysis)

    def constants(self, call, analysis):
        if "call" in call.memory:
            rule_of(call.operation.layer).constants(call.memory["call"], analysis)

    def readers(self, call, analysis):
        if "call" not in call.memory:
            return []
        readers = rule_of(call.operation.layer).readers(call.memory["call"], analysis)
        for reader in readers:
            # The bias of the inner layer cannot absorb constants: a kept unit carries them instead.
            reader.bias = None
        return readers

    def config(self, call, kept):
        if "call" not in call.memory:
            return {}
        changes = rule_of(call.operation.layer).config(call.memory["call"], kept)
        inner = call.operation.get_config()["layer"]
        return {"layer": {**inner, "config": {**inner["config"], **changes}}}
