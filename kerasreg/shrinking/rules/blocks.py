"""Transformer blocks of keras-hub: their MLPs get narrower."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from kerasreg.shrinking.rules.base import Rule, apply_to, is_elementwise, numpy, rule_for_classes
from kerasreg.shrinking.rules.linear import outputs_of, read_kernel


@dataclass(frozen=True)
class _MLP:
    """`down(activation(up(x)))`, or `down(activation(up(x)) * gate(x))`.

    Attributes:
        up, down, gate: attributes of the block: layers with kernels `(..., width)`, `(width, ...)`.
        size: the width in the config.
        times: the config has so many times the width.
        activation: of a block.
    """

    up: str
    down: str
    gate: str | None = None
    size: str = "intermediate_dim"
    times: int = 1
    activation: Callable | None = None

    def activation_of(self, block):
        return self.activation or getattr(block, self.up).activation


_FEEDFORWARD = _MLP("_feedforward_intermediate_dense", "_feedforward_output_dense")
_BLOCKS = {
    "GemmaDecoderBlock": _MLP(
        *("gating_ffw", "ffw_linear", "gating_ffw_2"),
        times=2,
        activation=lambda x: ops.gelu(x, approximate=True),
    ),
    "T5TransformerLayer": _MLP("input_projector", "output_projector", "gate_projector"),
    "TransformerDecoder": _FEEDFORWARD,
    "TransformerEncoder": _FEEDFORWARD,
    "WhisperDecoder": _FEEDFORWARD,
    "WhisperEncoder": _FEEDFORWARD,
}


@rule_for_classes("keras_hub.", *_BLOCKS)
class _Block(Rule):
    """What is inside of it follows its config: the width of the MLP is there, and free."""

    def label(self, call, analysis):
        super().label(call, analysis)
        layer, mlp = call.operation, _BLOCKS[type(call.operation).__name__]
        analysis.note(f"'{layer.name}' ({type(layer).__name__}): all but its MLP")
        up, down = getattr(layer, mlp.up), getattr(layer, mlp.down)
        units = analysis.labels.new(up.kernel.shape[-1])
        call.memory["units"] = units
        for each in (up, getattr(layer, mlp.gate or "", None)):
            if each is not None:
                analysis.slice(each.kernel, {-1: units})
                analysis.slice(each.bias, {-1: units})
        analysis.slice(down.kernel, {0: units})
        if not is_elementwise(mlp.activation_of(layer)):
            analysis.labels.pin(units, f"the activation of '{layer.name}' mixes its units")

    def readers(self, call, analysis):
        layer, mlp = call.operation, _BLOCKS[type(call.operation).__name__]
        down, units = getattr(layer, mlp.down), call.memory["units"]
        biases = [each for each in layer.weights if each.name == "bias"]
        place = next((i for i, each in enumerate(biases) if each is down.bias), None)
        return [
            read_kernel(
                down.kernel,
                (0,),
                (1,),
                (units,),
                (np.zeros(down.kernel.shape[-1], int),),
                constants=self._constants(layer, mlp),
                bias=None if place is None else (layer, "bias", place),
            )
        ]

    def config(self, call, kept):
        mlp = _BLOCKS[type(call.operation).__name__]
        return {mlp.size: mlp.times * kept(call.memory["units"])}

    def with_bias(self, layer):
        return {}

    def _constants(self, layer, mlp):
        up, gate = getattr(layer, mlp.up), getattr(layer, mlp.gate or "", None)
        constants = apply_to(mlp.activation_of(layer), _outputs(up))
        if gate is not None:
            others = _outputs(gate)
            is_zero = (constants == 0) | (others == 0)
            constants = np.where(is_zero, 0.0, constants * others)
        return constants


def _outputs(dense):
    kernel = numpy(dense.kernel)
    nothing = np.full(kernel.shape[0], np.nan)
    labels = [np.zeros(size, int) for size in kernel.shape]
    reader = read_kernel(dense.kernel, (0,), (1,), labels[:1], labels[1:], constants=nothing)
    return outputs_of(reader, dense.bias)
