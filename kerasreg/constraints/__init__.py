"""Constraints for Keras layers: projections that are exact for any step sizes."""

from kerasreg.constraints.balls import L1Ball, L2Ball, Simplex
from kerasreg.constraints.base import Projection
from kerasreg.constraints.box import Box
from kerasreg.constraints.sparse import KSparse

__all__ = ["Box", "KSparse", "L1Ball", "L2Ball", "Projection", "Simplex"]
