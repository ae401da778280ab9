"""How sparse, and when: for `Pruning(schedule)`."""

from kerasreg.pruning.schedules import (
    Constant,
    Cosine,
    Function,
    Hold,
    Linear,
    OneShot,
    Polynomial,
)
from kerasreg.pruning.timeline import Schedule

__all__ = ["Constant", "Cosine", "Function", "Hold", "Linear", "OneShot", "Polynomial", "Schedule"]
