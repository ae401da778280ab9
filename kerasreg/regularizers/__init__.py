"""What a penalty is: a value, a prox, a config."""

from kerasreg.regularizers.activity import ActivityEntropy, ActivityKL
from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.elementwise import L1, L1L2, L2
from kerasreg.regularizers.group import GroupLasso, SparseGroupLasso
from kerasreg.regularizers.orthogonal import ConvOrthogonal, Orthogonal
from kerasreg.regularizers.smooth import GroupHoyerSquare, HoyerSquare, SpectralNorm

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "ActivityEntropy",
    "ActivityKL",
    "ConvOrthogonal",
    "GroupHoyerSquare",
    "GroupLasso",
    "HoyerSquare",
    "Orthogonal",
    "Regularizer",
    "SparseGroupLasso",
    "SpectralNorm",
]
