"""Penalise, train to exact zeros, see them, prune them: for plain Keras models."""

from kerasreg import callbacks, constraints, patterns, regularizers, schedules, scores
from kerasreg.proximal.polish import polish
from kerasreg.proximal.step_sizes import register_step_size
from kerasreg.proximal.training import proximal
from kerasreg.pruning.loop import pruning
from kerasreg.pruning.one_shot import prune, rewind
from kerasreg.pruning.threshold import prune_below
from kerasreg.regularizers.attach import attach, detach
from kerasreg.saving.report import size_report
from kerasreg.saving.save import save
from kerasreg.shrinking.budget.recalibrate import recalibrate
from kerasreg.shrinking.budget.shrink_to import shrink_to
from kerasreg.shrinking.costs.flops import flops
from kerasreg.shrinking.costs.latency import compare_latency
from kerasreg.shrinking.coupled.find import coupled_groups
from kerasreg.shrinking.shrink import shrink
from kerasreg.statistics import statistics
from kerasreg.summary import summary

__version__ = "0.1.0"

__all__ = [
    "attach",
    "callbacks",
    "compare_latency",
    "constraints",
    "coupled_groups",
    "detach",
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
    "rewind",
    "save",
    "schedules",
    "scores",
    "shrink",
    "shrink_to",
    "size_report",
    "statistics",
    "summary",
]
