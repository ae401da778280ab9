"""What a group of weights is: one definition for penalty, prox, pruning and statistics."""

import math
from dataclasses import dataclass

import numpy as np

from kerasreg._common import validation

#: The names that `kerasreg.attach` translates for each layer (see `roles.py`).
ROLES = ("output", "input", "head")


@dataclass(frozen=True)
class Groups:
    """One group per index of `axis`: a group is everything that remains when `axis` is fixed.

    `axis` is an int or several (one group per combination of their indices). `gates` says that
    the axis holds that many equal blocks, one after the other, and that index `j` of every block
    belongs to the same group: the units of an LSTM kernel `(input, 4 * units)` are
    `Groups(axis=-1, gates=4)`.
    """

    axis: int | tuple[int, ...] | str
    gates: int = 1

    def __post_init__(self):
        object.__setattr__(self, "axis", _standardize_axis(self.axis))
        gates = validation.integer(
            self.gates, "gates", at_least=1, meaning="4 for the kernels of an LSTM"
        )
        object.__setattr__(self, "gates", gates)
        if self.gates > 1 and not isinstance(self.axis, int):
            raise ValueError(
                f"`gates` needs a single int `axis`. Received: axis={self.axis}, gates={self.gates}"
            )

    def check(self, shape, name="weights"):
        """Raise unless these groups exist in an array of this shape."""
        rank = len(shape)
        possible = f"the axes of {name} with shape {tuple(shape)} are {list(range(rank))}"
        if isinstance(self.axis, str):
            raise ValueError(
                f"`axis={self.axis!r}` is a name that only `kerasreg.attach` can translate: a "
                "regularizer sees the tensor and not the layer. Pass an int: "
                f"{possible} (or {list(range(-rank, 0))})."
            )
        axes = self._axes
        wrong = [axis for axis in axes if not -rank <= axis < rank]
        if wrong or len({axis % rank for axis in axes}) < len(axes):
            raise ValueError(
                f"`axis` must name different axes of the weights: {possible} "
                f"(or {list(range(-rank, 0))}). Received: axis={self.axis}"
            )
        if self.gates > 1 and shape[self.axis] % self.gates:
            raise ValueError(
                f"Axis {self.axis} of {name} with shape {tuple(shape)} has {shape[self.axis]} "
                f"indices, which {self.gates} gates do not divide."
            )

    def layout(self, shape):
        """`(view, axes)`: reshape to `view` and reduce over `axes` to get one number per group."""
        shape = tuple(shape)
        self.check(shape)
        kept = {axis % len(shape) for axis in self._axes}
        if self.gates > 1:
            (axis,) = kept
            shape = (*shape[:axis], self.gates, shape[axis] // self.gates, *shape[axis + 1 :])
            kept = {axis + 1}
        return shape, tuple(axis for axis in range(len(shape)) if axis not in kept)

    def size(self, shape):
        """The number of weights in one group of an array of this shape."""
        view, axes = self.layout(shape)
        return math.prod(view[axis] for axis in axes)

    @property
    def _axes(self):
        return self.axis if isinstance(self.axis, tuple) else (self.axis,)


def _standardize_axis(axis):
    if isinstance(axis, str) and axis in ROLES:
        return axis
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if not axes or not all(validation.is_integer(each) for each in axes):
        expected = f"an int, a tuple of ints or one of the names {ROLES}"
        raise validation.invalid("axis", axis, f"{expected}, which `kerasreg.attach` translates")
    if len(set(axes)) < len(axes):
        raise ValueError(f"`axis` must name different axes. Received: axis={axis}")
    axes = tuple(int(each) for each in axes)
    return axes if len(axes) > 1 else axes[0]


def zero_groups(array, groups, zeros=math.inf):
    """Which groups have only zeros: a bool array. `zeros` is how many there are at most."""
    view, axes = groups.layout(array.shape)
    if zeros < groups.size(array.shape):
        return np.zeros(count_groups(groups, array.shape), bool)
    return ~np.not_equal(array, 0).reshape(view).any(axis=axes).reshape(-1)


def count_groups(groups, shape):
    """How many groups there are."""
    view, axes = groups.layout(shape)
    return math.prod(size for axis, size in enumerate(view) if axis not in axes)
