"""Bounds of single weights."""

import math
import numbers
from typing import Any

import keras

from kerasreg import _prox as operators
from kerasreg.constraints.base import Projection


@keras.saving.register_keras_serializable("kerasreg")
class Box(Projection):
    """`minimum <= w <= maximum`: bounds for every weight; `Box(minimum=0.0)` keeps them positive.

    The projection clips, whatever the steps.

    Args:
        minimum: finite, or None for no lower bound.
        maximum: finite and not below `minimum`, or None for no upper bound.

    Raises:
        ValueError: for bounds that are no numbers, empty, or both None.

    Example:

    >>> constraint = kerasreg.constraints.Box(-1.0, 2.0)
    >>> np.asarray(constraint(np.array([3.0, 0.5, -4.0]))).tolist()
    [2.0, 0.5, -1.0]
    """

    def __init__(self, minimum: float | None = None, maximum: float | None = None):
        self.minimum = _validate_bound(minimum, "minimum")
        self.maximum = _validate_bound(maximum, "maximum")
        if minimum is None and maximum is None:
            raise ValueError(
                "`Box` needs a `minimum`, a `maximum`, or both. Received: minimum=None, "
                "maximum=None"
            )
        if minimum is not None and maximum is not None and minimum > maximum:
            raise ValueError(
                "`minimum` must not be above `maximum`. "
                f"Received: minimum={minimum}, maximum={maximum}"
            )

    def _project(self, weights, step):
        return operators.onto_box(weights, self.minimum, self.maximum)

    def get_config(self) -> dict[str, Any]:
        return {"minimum": self.minimum, "maximum": self.maximum}


def _validate_bound(value, name):
    if value is None:
        return None
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(
            f"`{name}` must be a finite number, or None for no bound. Received: {name}={value!r}"
        )
    return float(value)
