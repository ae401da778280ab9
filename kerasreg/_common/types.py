"""Types of arguments that several functions share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

#: A tensor of the backend, a variable, or an array that becomes one.
Tensor: TypeAlias = Any
#: One axis, several axes, or the name of an axis.
Axis: TypeAlias = int | Sequence[int] | str
#: Sizes of axes; None for an unknown size.
Shape: TypeAlias = Sequence[int | None]
#: The shape of one sample; for several inputs a list, or a dict from their names.
InputShape: TypeAlias = Sequence[Any] | dict[str, Any] | None
#: The logs that Keras passes to callbacks.
Logs: TypeAlias = dict[str, Any] | None
