"""Why units stay that are constant."""

import numpy as np


def lost_constants(analysis, gone):
    """`{reason: how many units}` that are constant until an operation loses that.

    Args:
        analysis: an `Analysis`.
        gone: which labels are gone, by root label.
    """
    lost = {}
    for call in analysis.graph.calls:
        kept = _constant(call.outputs, analysis.roots)
        labels = {e for each in call.outputs for e in _roots(each, analysis.roots)}
        units = {
            each
            for each in _constant(call.inputs, analysis.roots) & labels - kept
            if each and not gone[each]
        }
        if units:
            name, kind = call.operation.name, type(call.operation).__name__
            mask = ", where masks are" if any(each.is_masked for each in call.inputs) else ""
            reason = f"constants do not stay constants in '{name}' ({kind}{mask})"
            lost[reason] = lost.get(reason, 0) + len(units)
    return lost


def _roots(tensor, roots):
    return {each for labels in tensor.labels.values() for each in roots[labels].tolist()}


def _constant(tensors, roots):
    """The root labels of what is constant in each tensor that has them."""
    found, varying = set(), set()
    for tensor in tensors:
        for axis, labels in tensor.labels.items():
            is_known = np.isfinite(tensor.constant(axis))
            found.update(roots[labels[is_known]].tolist())
            varying.update(roots[labels[~is_known]].tolist())
    return found - varying
