"""Regularize, sparsify, prune and shrink Keras models."""

from kerasreg import (
    callbacks,
    constraints,
    patterns,
    regularizers,
    results,
    schedules,
    scores,
    shrinking,
)
from kerasreg._attach.attach import attach, detach
from kerasreg._graph.coupled.find import coupled_groups
from kerasreg._proximal.loop import proximal
from kerasreg._proximal.polish import polish
from kerasreg._proximal.registry import register_step_size
from kerasreg._pruning.loop import pruning
from kerasreg._pruning.one_shot import prune, rewind
from kerasreg._pruning.threshold import prune_below
from kerasreg._saving.save import save
from kerasreg._saving.sizes import size_report
from kerasreg._shrinking.budget.recalibrate import recalibrate
from kerasreg._shrinking.budget.shrink_to import shrink_to
from kerasreg._shrinking.costs.flops import flops
from kerasreg._shrinking.costs.latency import compare_latency
from kerasreg._shrinking.shrink import shrink
from kerasreg._statistics.statistics import statistics
from kerasreg._statistics.summary import summary
from kerasreg._training.fit_and_shrink import fit_and_shrink

__version__ = "0.1.0"

__all__ = [
    "attach",
    "callbacks",
    "compare_latency",
    "constraints",
    "coupled_groups",
    "detach",
    "fit_and_shrink",
    "flops",
    "patterns",
    "polish",
    "proximal",
    "prune",
    "prune_below",
    "pruning",
    "recalibrate",
    "register_step_size",
    "regularizers",
    "results",
    "rewind",
    "save",
    "schedules",
    "scores",
    "shrink",
    "shrink_to",
    "shrinking",
    "size_report",
    "statistics",
    "summary",
]
