"""Scores for `Pruning(score=...)`: the lowest ones are pruned first."""

from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.scores.measured import SNIP, Activation
from kerasreg._pruning.scores.of_weights import Magnitude, Random
from kerasreg._pruning.scores.recorded import Movement, Taylor

__all__ = ["SNIP", "Activation", "Magnitude", "Movement", "Random", "Score", "Taylor"]
