"""Rules of reductions and cumulative operations along some axes."""

import numpy as np

from kerasreg._graph.rules.base import Rule, rule_for_ops
from kerasreg._graph.rules.elementwise import without_padding


@rule_for_ops("Sum", "Prod", "Std", "Var", "Any", "All", "Logsumexp", "Norm", "CountNonzero")
@rule_for_ops("Median", "Argmax", "Argmin", "Cumsum", "Cumprod")
class _Reduced(Rule):
    """Labels of axes that are not reduced are kept."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        axes = call.operation.axis
        axes = range(tensor.rank) if axes is None else np.atleast_1d(axes) % tensor.rank
        for axis, labels in tensor.labels.items():
            target = axis
            if output.rank < tensor.rank:
                target -= sum(each < axis for each in axes)
            if axis in axes or output.shape[target] != tensor.shape[axis]:
                analysis.labels.pin(labels, f"'{call.operation.name}' needs all units of the axis")
            else:
                output.labels[target] = labels

    def constants(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        if type(call.operation).__name__ not in ("Sum", "Cumsum"):
            return
        # A sum of zeros is zero. For other constants, the number of terms may be undefined.
        for target, labels in output.labels.items():
            for axis, own in tensor.labels.items():
                if own is labels:
                    constants = without_padding(tensor, tensor.constant(axis))
                    output.constants[target] = np.where(constants == 0, 0.0, np.nan)
