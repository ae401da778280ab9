"""Comparison of a model with its shrunk copy, for the report."""

import numpy as np

from kerasreg._graph.tracing import trace
from kerasreg._shrinking.costs import costs, total, unknown_costs
from kerasreg._shrinking.costs.flops import Shapes, open_sizes
from kerasreg._shrinking.kept import kept_axes
from kerasreg._shrinking.nearly import nearly_dead
from kerasreg._shrinking.report import LayerWidth, ShrinkReport
from kerasreg._shrinking.stays import lost_constants


def report_on(model, small, analysis, dead, difference, dtype, input_shape=None):
    """Returns the `ShrinkReport` of a model and its shrunk copy."""
    graph, shapes = _graph_of(model, input_shape)
    small_graph, small_shapes = _graph_of(small, input_shape)
    flops, small_flops = costs(graph, shapes), costs(small_graph, small_shapes)
    layers, kept = [], kept_axes(analysis, dead)
    for old, new in zip(_operations(graph), _operations(small_graph), strict=True):
        if getattr(old, "weights", None):
            widths = [tuple(each.weights[0].shape) for each in (old, new)]
            counts = [each.count_params() for each in (old, new)]
            counts += [flops[id(old)], small_flops[id(new)]]
            left = [axis.tolist() for axis in kept[id(old)]]
            layers.append(LayerWidth(old.name, type(old).__name__, *widths, *counts, left))
    pinned = {}
    for label, reason in analysis.labels.reasons.items():
        if analysis.roots[label] == 0:
            pinned[reason] = pinned.get(reason, 0) + 1
    pinned.update(lost_constants(analysis, dead.labels))
    return ShrinkReport(
        model=model.name,
        layers=layers,
        parameters_before=model.count_params(),
        parameters_after=small.count_params(),
        flops_before=total(flops.values()),
        flops_after=total(small_flops.values()),
        bytes_before=_bytes(model),
        bytes_after=_bytes(small),
        pinned=pinned,
        uncounted=unknown_costs(graph, shapes),
        unknown=analysis.notes,
        nearly=nearly_dead(model, analysis, dead),
        difference=difference,
        dtype=dtype,
    )


def _graph_of(model, input_shape):
    """Returns `(graph, shapes)` of a model."""
    graph = trace(model)
    return graph, Shapes(open_sizes(model, graph, input_shape))


def _operations(graph):
    """Returns the operations of a graph, each once, in the order of their first call."""
    return {id(call.operation): call.operation for call in graph.calls}.values()


def _bytes(model):
    return sum(int(np.prod(v.shape)) * _itemsize(v.dtype) for v in model.weights)


def _itemsize(dtype):
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
