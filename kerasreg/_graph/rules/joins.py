"""Rules of layers and operations that concatenate or stack tensors."""

import numpy as np
from keras import layers

from kerasreg._graph.rules.base import WITH_FIXED, Rule, rule_for, rule_for_ops
from kerasreg._graph.rules.elementwise import without_padding


@rule_for(layers.Concatenate)
@rule_for_ops("Concatenate")
class _Concatenate(Rule):
    def label(self, call, analysis):
        (output,) = call.outputs
        joined = call.operation.axis % output.rank
        for axis in range(output.rank):
            found = [tensor.labels.get(axis) for tensor in call.inputs]
            if all(labels is None for labels in found):
                continue
            if axis == joined:
                parts = zip(found, call.inputs, strict=True)
                output.labels[axis] = np.concatenate(
                    [np.zeros(t.shape[axis], int) if part is None else part for part, t in parts]
                )
                continue
            present = [labels for labels in found if labels is not None]
            for labels in present:
                if len(present) < len(found):
                    analysis.labels.pin(labels, f"'{call.operation.name}' {WITH_FIXED}")
                analysis.labels.unify(labels, present[0])
            output.labels[axis] = present[0]

    def constants(self, call, analysis):
        (output,) = call.outputs
        joined = call.operation.axis % output.rank
        for axis in output.labels:
            parts = [without_padding(tensor, tensor.constant(axis)) for tensor in call.inputs]
            if axis == joined:
                output.constants[axis] = np.concatenate(parts)
            else:
                output.constants[axis] = _common(parts)


@rule_for_ops("Stack")
class _Stack(Rule):
    """Stacks tensors of one shape along a new axis."""

    def label(self, call, analysis):
        (output,) = call.outputs
        for axis in range(call.inputs[0].rank):
            found = [tensor.labels.get(axis) for tensor in call.inputs]
            present = [labels for labels in found if labels is not None]
            for labels in present:
                if len(present) < len(found):
                    analysis.labels.pin(labels, f"'{call.operation.name}' {WITH_FIXED}")
                analysis.labels.unify(labels, present[0])
                output.labels[axis + (axis >= self._new(call))] = present[0]

    def constants(self, call, analysis):
        (output,) = call.outputs
        for axis in range(call.inputs[0].rank):
            parts = [without_padding(tensor, tensor.constant(axis)) for tensor in call.inputs]
            output.constants[axis + (axis >= self._new(call))] = _common(parts)

    def _new(self, call):
        return call.operation.axis % call.outputs[0].rank


def _common(parts):
    """Returns the constants that are equal in all parts."""
    is_same = np.all([part == parts[0] for part in parts], axis=0)
    return np.where(is_same, parts[0], np.nan)
