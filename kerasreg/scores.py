"""Which weights go first: for `Pruning(score=...)`."""

from kerasreg._pruning.scores import SNIP, Activation, Magnitude, Movement, Random, Score, Taylor

__all__ = ["SNIP", "Activation", "Magnitude", "Movement", "Random", "Score", "Taylor"]
