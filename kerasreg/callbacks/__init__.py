"""Callbacks for `model.fit`."""

from kerasreg.callbacks.coupled_group_lasso import CoupledGroupLasso
from kerasreg.callbacks.penalty_schedule import PenaltySchedule
from kerasreg.callbacks.proximal_gradient import ProximalGradient
from kerasreg.callbacks.prune_until import PruneUntil
from kerasreg.callbacks.pruning import Pruning
from kerasreg.callbacks.sparsity_logger import SparsityLogger
from kerasreg.callbacks.threshold_pruning import ThresholdPruning

__all__ = [
    "CoupledGroupLasso",
    "PenaltySchedule",
    "ProximalGradient",
    "PruneUntil",
    "Pruning",
    "SparsityLogger",
    "ThresholdPruning",
]
