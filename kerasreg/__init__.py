"""Penalise, train to exact zeros, see them, prune them: for plain Keras models."""

from kerasreg import callbacks, constraints, regularizers
from kerasreg.proximal.polish import polish
from kerasreg.proximal.step_sizes import register_step_size
from kerasreg.proximal.training import proximal
from kerasreg.pruning.threshold import prune_below
from kerasreg.regularizers.attach import attach, detach
from kerasreg.statistics import statistics
from kerasreg.summary import summary

__version__ = "0.1.0"

__all__ = [
    "attach",
    "callbacks",
    "constraints",
    "detach",
    "polish",
    "proximal",
    "prune_below",
    "register_step_size",
    "regularizers",
    "statistics",
    "summary",
]
