"""Regularizers for Keras layers, most of them with a proximal operator."""

from kerasreg.regularizers.activity import ActivityEntropy, ActivityKL
from kerasreg.regularizers.anchored import L1SP, L2SP
from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.clipped import MCP, SCAD, CappedL1
from kerasreg.regularizers.concave import L0, LogSum, Lp, TransformedL1
from kerasreg.regularizers.elementwise import L1, L1L2, L2, NonNegativeL1
from kerasreg.regularizers.fused import FusedLasso, TotalVariation
from kerasreg.regularizers.group import GroupLasso, SparseGroupLasso
from kerasreg.regularizers.group_nonconvex import GroupL0, GroupMCP, GroupSCAD
from kerasreg.regularizers.matrix import NuclearNorm, Rank
from kerasreg.regularizers.norms import ExclusiveLasso, LInfinity1
from kerasreg.regularizers.ordered import SLOPE
from kerasreg.regularizers.orthogonal import ConvOrthogonal, Orthogonal
from kerasreg.regularizers.smooth import GroupHoyerSquare, HoyerSquare, SpectralNorm
from kerasreg.regularizers.weighted import WeightedL1

__all__ = [
    "L0",
    "L1",
    "L1L2",
    "L1SP",
    "L2",
    "L2SP",
    "MCP",
    "SCAD",
    "SLOPE",
    "ActivityEntropy",
    "ActivityKL",
    "CappedL1",
    "ConvOrthogonal",
    "ExclusiveLasso",
    "FusedLasso",
    "GroupHoyerSquare",
    "GroupL0",
    "GroupLasso",
    "GroupMCP",
    "GroupSCAD",
    "HoyerSquare",
    "LInfinity1",
    "LogSum",
    "Lp",
    "NonNegativeL1",
    "NuclearNorm",
    "Orthogonal",
    "Rank",
    "Regularizer",
    "SparseGroupLasso",
    "SpectralNorm",
    "TotalVariation",
    "TransformedL1",
    "WeightedL1",
]
