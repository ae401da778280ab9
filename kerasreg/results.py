"""Result classes of the functions of kerasreg, for type annotations and `isinstance`."""

from kerasreg._common.report import Report
from kerasreg._graph.coupled.groups import CoupledGroup, CoupledGroups
from kerasreg._proximal.polish import Polished
from kerasreg._pruning.plan import Plan, PlannedVariable
from kerasreg._saving.sizes import Size, SizeReport
from kerasreg._shrinking.costs.latency import Latency, LatencyComparison
from kerasreg._shrinking.nearly import HeadsWithoutScores, NearlyDead
from kerasreg._shrinking.report import LayerWidth, ShrinkReport
from kerasreg._statistics.numbers import ModelStatistics, Statistics

__all__ = [
    "CoupledGroup",
    "CoupledGroups",
    "HeadsWithoutScores",
    "Latency",
    "LatencyComparison",
    "LayerWidth",
    "ModelStatistics",
    "NearlyDead",
    "Plan",
    "PlannedVariable",
    "Polished",
    "Report",
    "ShrinkReport",
    "Size",
    "SizeReport",
    "Statistics",
]
