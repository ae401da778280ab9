"""Rules of the transformer blocks of keras-hub: units of their MLPs, and heads.

A block builds its layers from its config, so only the sizes in the config can shrink.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from kerasreg._graph.rules.base import (
    COMBINES,
    Rule,
    apply_to,
    is_elementwise,
    kind,
    labels_of,
    numpy,
    rule_for_classes,
)
from kerasreg._graph.rules.linear import outputs_of, read_kernel
from kerasreg._graph.tracing import Tensor


@dataclass(frozen=True)
class _MLP:
    """`down(activation(up(x)))`, or `down(activation(up(x)) * gate(x))`.

    Attributes:
        up, down, gate: names of the attributes with the layers. The kernels of `up` and `gate`
            are `(..., width)`, that of `down` is `(width, ...)`.
        size: name of the width in the config.
        times: the number in the config is this multiple of the width.
        activation: a function that returns the activation, given the layer with these attributes
            and its `up` layer.
        inside: a function that returns the layers with these attributes, given the block. All of
            them have the same width.
    """

    up: str
    down: str
    gate: str | None = None
    size: str = "intermediate_dim"
    times: int = 1
    activation: Callable = field(default=lambda each, up: up.activation)
    inside: Callable = field(default=lambda block: [block])

    def label(self, call, analysis):
        layer = call.operation
        units = analysis.labels.new(getattr(self.inside(layer)[0], self.up).kernel.shape[-1])
        call.memory[self] = units
        for each in self.inside(layer):
            up, down = getattr(each, self.up), getattr(each, self.down)
            for dense in (up, getattr(each, self.gate or "", None)):
                if dense is not None:
                    analysis.slice(dense.kernel, {-1: units})
                    analysis.slice(dense.bias, {-1: units})
            analysis.slice(down.kernel, {0: units})
            if not is_elementwise(self.activation(each, up)):
                analysis.labels.pin(units, f"the activation of '{layer.name}' {COMBINES}")

    def readers(self, call):
        layer, units = call.operation, call.memory[self]
        biases = [each for each in layer.weights if each.name == "bias"]
        for each in self.inside(layer):
            down = getattr(each, self.down)
            place = next((i for i, bias in enumerate(biases) if bias is down.bias), None)
            yield read_kernel(
                down.kernel,
                (0,),
                (1,),
                (units,),
                (_fixed(down.kernel.shape[-1]),),
                constants=self._constants(each),
                bias=None if place is None else (layer, "bias", place),
            )

    def config(self, call, kept):
        return {self.size: self.times * kept(call.memory[self])}

    def _constants(self, each):
        up, gate = getattr(each, self.up), getattr(each, self.gate or "", None)
        constants = apply_to(self.activation(each, up), _outputs(up))
        if gate is not None:
            others = _outputs(gate)
            is_zero = (constants == 0) | (others == 0)
            constants = np.where(is_zero, 0.0, constants * others)
        return constants


class _GemmaHeads:
    """Query heads that share a key head are removed together.

    If there is only one key head, each query head can be removed individually. The head size
    cannot change, because rotary embeddings rotate the elements of a head in pairs.
    """

    def label(self, call, analysis):
        attention = call.operation.attention
        queries, keys = attention.num_query_heads, attention.num_key_value_heads
        shared = analysis.labels.new(keys) if keys > 1 else _fixed(1)
        heads = np.repeat(shared, queries // keys) if keys > 1 else analysis.labels.new(queries)
        call.memory[self] = heads, shared
        analysis.slice(attention.query_dense.kernel, {0: heads})
        analysis.slice(attention.key_dense.kernel, {0: shared})
        analysis.slice(attention.value_dense.kernel, {0: shared})
        analysis.slice(attention.output_dense.kernel, {0: heads})

    def readers(self, call):
        attention, (heads, shared) = call.operation.attention, call.memory[self]
        kernel = attention.output_dense.kernel
        _, size, width = kernel.shape
        is_zero = (numpy(attention.value_dense.kernel) == 0).all(axis=1)
        values = np.repeat(np.where(is_zero, 0.0, np.nan), len(heads) // len(shared), axis=0)
        sizes = heads, _fixed(size)
        yield read_kernel(
            kernel, (0, 1), (2,), sizes, (_fixed(width),), constants=values.reshape(-1)
        )

    def config(self, call, kept):
        heads, shared = call.memory[self]
        return {"num_query_heads": kept(heads), "num_key_value_heads": kept(shared)}


class _T5Heads:
    """Heads with the same index are removed in all blocks, which share one position bias.

    Self-attention and cross-attention have one number of heads in the config.
    """

    def label(self, call, analysis):
        block = call.operation
        heads = analysis.labels.new(block.self_attention.num_heads)
        call.memory[self] = heads
        bias, given = call.outputs[1], call.kwargs.get("position_bias")
        bias.labels[1] = heads
        if isinstance(given, Tensor):
            analysis.labels.unify(heads, labels_of(given, 1))
        for each in self._attentions(block):
            columns = np.repeat(heads, each.key_value_dim)
            for dense in (each.query_projector, each.key_projector, each.value_projector):
                analysis.slice(dense.kernel, {1: columns})
            analysis.slice(each.output_projector.kernel, {0: columns})
            if each.use_relative_attention_bias:
                analysis.slice(each.relative_attention_bias, {1: heads})

    def readers(self, call):
        for each in self._attentions(call.operation):
            kernel = each.output_projector.kernel
            columns = np.repeat(call.memory[self], each.key_value_dim)
            values = _outputs(each.value_projector)
            yield read_kernel(
                kernel, (0,), (1,), (columns,), (_fixed(kernel.shape[1]),), constants=values
            )

    def config(self, call, kept):
        return {"num_heads": kept(call.memory[self])}

    def _attentions(self, block):
        return [block.self_attention, *([block.cross_attention] if block.is_decoder else [])]


_PLAIN = [_MLP("_feedforward_intermediate_dense", "_feedforward_output_dense")]
_GATED = [
    _MLP(
        *("_feedforward_gate_dense", "_feedforward_output_dense"),
        gate="_feedforward_intermediate_dense",
        activation=lambda block, up: block.activation,
    )
]
#: The parts of each class of blocks that can shrink. Subclasses are excluded: their `call` may
#: compute something else.
_BLOCKS = {
    "GemmaDecoderBlock": [
        _MLP(
            *("gating_ffw", "ffw_linear", "gating_ffw_2"),
            times=2,
            activation=lambda block, up: lambda x: ops.gelu(x, approximate=True),
        ),
        _GemmaHeads(),
    ],
    "LlamaTransformerDecoder": _GATED,
    "MistralTransformerDecoder": _GATED,
    "Qwen3TransformerDecoder": _GATED,
    "QwenTransformerDecoder": _GATED,
    "T5TransformerLayer": [
        _MLP("input_projector", "output_projector", "gate_projector"),
        _T5Heads(),
    ],
    "TransformerDecoder": _PLAIN,
    "TransformerEncoder": _PLAIN,
    "ViTEncoder": [
        _MLP(
            *("dense_1", "dense_2"),
            size="mlp_dim",
            inside=lambda encoder: [block.mlp for block in encoder.encoder_layers],
        )
    ],
    "WhisperDecoder": _PLAIN,
    "WhisperEncoder": _PLAIN,
}


@rule_for_classes("keras_hub.", *_BLOCKS)
class _Block(Rule):
    """Keeps all features of a block, and all sizes inside it that are not in `_BLOCKS`."""

    def label(self, call, analysis):
        layer, parts = call.operation, self._parts(call)
        for tensor in call.inputs:
            if tensor is not call.kwargs.get("position_bias"):
                reason = f"'{layer.name}' ({kind(call)}) cannot change its number of features"
                analysis.pin(tensor, reason)
        has_heads = any(not isinstance(each, _MLP) for each in parts)
        stays = "its head size" if has_heads else "its heads, whose size depends on the features"
        analysis.note(f"'{layer.name}' ({kind(call)}): its number of features, and {stays}")
        for each in parts:
            each.label(call, analysis)

    def readers(self, call, analysis):
        return [reader for each in self._parts(call) for reader in each.readers(call)]

    def config(self, call, kept):
        parts = [each.config(call, kept) for each in self._parts(call)]
        return {name: value for part in parts for name, value in part.items()}

    def with_bias(self, layer):
        return {}

    def _parts(self, call):
        return _BLOCKS[kind(call)]


def _fixed(count):
    """Returns labels of coordinates that are never removed."""
    return np.zeros(count, int)


def _outputs(dense):
    """Returns the constant outputs of a dense layer whose inputs all vary; NaN for the others."""
    kernel = numpy(dense.kernel)
    nothing = np.full(kernel.shape[0], np.nan)
    labels = [_fixed(size) for size in kernel.shape]
    reader = read_kernel(dense.kernel, (0,), (1,), labels[:1], labels[1:], constants=nothing)
    return outputs_of(reader, dense.bias)
