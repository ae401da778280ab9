"""Types of arguments that recur."""

from collections.abc import Sequence
from typing import Any, TypeAlias

#: A tensor of the backend, a variable, or an array that becomes one.
Tensor: TypeAlias = Any
#: One axis, several, or the name of what lies along one.
Axis: TypeAlias = int | Sequence[int] | str
#: Sizes, None where one is unknown.
Shape: TypeAlias = Sequence[int | None]
#: The shape of one sample; for several inputs a list, or a dict from their names.
InputShape: TypeAlias = Sequence[Any] | dict[str, Any] | None
#: What Keras hands to callbacks.
Logs: TypeAlias = dict[str, Any] | None
