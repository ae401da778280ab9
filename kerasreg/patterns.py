"""Patterns for `Pruning(pattern=...)`: which weights are pruned together."""

from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.patterns.blocks import Block
from kerasreg._pruning.patterns.coupled import Coupled
from kerasreg._pruning.patterns.groups import Group
from kerasreg._pruning.patterns.heads import Heads
from kerasreg._pruning.patterns.nm import NM
from kerasreg._pruning.patterns.unstructured import Unstructured

__all__ = ["NM", "Block", "Coupled", "Group", "Heads", "Pattern", "Unstructured"]
