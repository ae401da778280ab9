"""Numbers out of all numbers along some axes."""

import numpy as np

from kerasreg.shrinking.rules.base import Rule, rule_for_ops


@rule_for_ops("Sum", "Prod", "Std", "Var", "Any", "All", "Logsumexp", "Norm", "CountNonzero")
@rule_for_ops("Median", "Argmax", "Argmin", "Cumsum", "Cumprod")
class _Reduced(Rule):
    """Other axes than those that are reduced stay what they are."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        axes = call.operation.axis
        axes = range(tensor.rank) if axes is None else np.atleast_1d(axes) % tensor.rank
        for axis, labels in tensor.labels.items():
            target = axis
            if output.rank < tensor.rank:
                target -= sum(each < axis for each in axes)
            if axis in axes or output.shape[target] != tensor.shape[axis]:
                analysis.labels.pin(labels, f"'{call.operation.name}' needs all of it")
            else:
                output.labels[target] = labels
