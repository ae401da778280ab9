"""Schedules for `Pruning(schedule)`: the sparsity over time."""

from kerasreg._pruning.ramps import Cosine, Linear, Polynomial
from kerasreg._pruning.schedules import Constant, Function, Hold, OneShot
from kerasreg._pruning.timeline import Schedule

__all__ = ["Constant", "Cosine", "Function", "Hold", "Linear", "OneShot", "Polynomial", "Schedule"]
