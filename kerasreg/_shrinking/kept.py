"""Which coordinates of the original are left, by index."""

import numpy as np


def kept_axes(analysis, dead):
    """What is left of the first weights of every layer: `{id(layer): [indices per axis]}`.

    Args:
        analysis: the `Analysis` of the original.
        dead: what went, a `Dead`.
    """
    found = [_kept(layer, analysis, dead) for layer in layers_of(analysis.graph)]
    if analysis.again is not None:
        # What was reduced once more has its indices in the model that was reduced before.
        later = kept_axes(*analysis.again)
        again = [later[id(layer)] for layer in layers_of(analysis.again[0].graph)]
        found = [
            [first[second] for first, second in zip(*axes, strict=True)]
            for axes in zip(found, again, strict=True)
        ]
    layers = layers_of(analysis.graph)
    return {id(layer): axes for layer, axes in zip(layers, found, strict=True)}


def layers_of(graph):
    """The layers with weights, each once, in order."""
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
