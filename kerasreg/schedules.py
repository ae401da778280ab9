"""How sparse, and when: for `Pruning(schedule)`."""

from kerasreg._pruning.schedules import (
    Constant,
    Cosine,
    Function,
    Hold,
    Linear,
    OneShot,
    Polynomial,
)
from kerasreg._pruning.timeline import Schedule

__all__ = ["Constant", "Cosine", "Function", "Hold", "Linear", "OneShot", "Polynomial", "Schedule"]
