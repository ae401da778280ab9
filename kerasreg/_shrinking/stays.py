"""The reasons why constant units stay."""

import numpy as np


def lost_constants(analysis, gone):
    """Returns how many units stay because an operation does not keep constants constant.

    Args:
        analysis: an `Analysis`.
        gone: bool array, indexed by root label; True for units that are removed.

    Returns:
        `{reason: number of units}`.
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
            mask = ", with a mask" if any(each.is_masked for each in call.inputs) else ""
            reason = f"constants do not stay constants in '{name}' ({kind}{mask})"
            lost[reason] = lost.get(reason, 0) + len(units)
    return lost


def _roots(tensor, roots):
    return {each for labels in tensor.labels.values() for each in roots[labels].tolist()}


def _constant(tensors, roots):
    """Returns the root labels that are constant in every tensor in which they occur."""
    found, varying = set(), set()
    for tensor in tensors:
        for axis, labels in tensor.labels.items():
            is_known = np.isfinite(tensor.constant(axis))
            found.update(roots[labels[is_known]].tolist())
            varying.update(roots[labels[~is_known]].tolist())
    return found - varying
