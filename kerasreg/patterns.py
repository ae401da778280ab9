"""Which weights go together: for `Pruning(pattern=...)`."""

from kerasreg._pruning.patterns import NM, Block, Coupled, Group, Heads, Pattern, Unstructured

__all__ = ["NM", "Block", "Coupled", "Group", "Heads", "Pattern", "Unstructured"]
