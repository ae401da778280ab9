"""Indices of the original units that are left in the shrunk model."""

import numpy as np


def kept_axes(analysis, dead):
    """Returns which indices of each layer's first variable are left.

    Args:
        analysis: the `Analysis` of the original.
        dead: the `Dead` with the units that were removed.

    Returns:
        `{id(layer): [indices per axis]}`.
    """
    found = [_kept(layer, analysis, dead) for layer in layers_of(analysis.graph)]
    if analysis.again is not None:
        # The indices of a second reduction refer to the result of the first one.
        later = kept_axes(*analysis.again)
        again = [later[id(layer)] for layer in layers_of(analysis.again[0].graph)]
        found = [
            [first[second] for first, second in zip(*axes, strict=True)]
            for axes in zip(found, again, strict=True)
        ]
    layers = layers_of(analysis.graph)
    return {id(layer): axes for layer, axes in zip(layers, found, strict=True)}


def layers_of(graph):
    """Returns the layers with weights, each once, in the order of their first call."""
    operations = {id(call.operation): call.operation for call in graph.calls}.values()
    return [each for each in operations if getattr(each, "weights", None)]


def _kept(layer, analysis, dead):
    variable = layer.weights[0]
    known = analysis.slices.get(id(variable))
    axes = known.axes if known is not None else {}
    return [
        np.flatnonzero(~dead.labels[analysis.roots[axes[axis]]])
        if axis in axes
        else np.arange(size)
        for axis, size in enumerate(variable.shape)
    ]
