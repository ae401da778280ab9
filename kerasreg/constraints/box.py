"""Elementwise bounds of weights."""

from typing import Any

import keras

from kerasreg import _prox as operators
from kerasreg._common import validation
from kerasreg.constraints.base import Projection


@keras.saving.register_keras_serializable("kerasreg")
class Box(Projection):
    """`min_value <= w <= max_value` for every weight. `Box(min_value=0.0)` is `w >= 0`.

    The projection clips the weights. It does not depend on the step sizes.

    Args:
        min_value: finite float, or None for no lower bound.
        max_value: finite float >= `min_value`, or None for no upper bound.

    Raises:
        ValueError: if a bound is not a finite number, if both are None, or if `min_value` is above
            `max_value`.

    Example:

    >>> constraint = kerasreg.constraints.Box(-1.0, 2.0)
    >>> np.asarray(constraint(np.array([3.0, 0.5, -4.0]))).tolist()
    [2.0, 0.5, -1.0]
    """

    def __init__(self, min_value: float | None = None, max_value: float | None = None):
        self.min_value = validation.number(min_value, "min_value", none="no bound")
        self.max_value = validation.number(max_value, "max_value", none="no bound")
        if min_value is None and max_value is None:
            raise ValueError(
                "`Box` needs a `min_value`, a `max_value`, or both. Received: min_value=None, "
                "max_value=None"
            )
        if min_value is not None and max_value is not None and min_value > max_value:
            raise ValueError(
                "`min_value` must not be above `max_value`. "
                f"Received: min_value={min_value}, max_value={max_value}"
            )

    def _project(self, weights, step):
        return operators.onto_box(weights, self.min_value, self.max_value)

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value}
