"""Groups of weights: one definition for penalties, proximal operators, pruning and statistics."""

import math
from dataclasses import dataclass

import numpy as np

from kerasreg._common import validation

#: Names of axes that `kerasreg.attach` translates for each layer (see `roles.py`).
ROLES = ("output", "input", "head")


@dataclass(frozen=True)
class Groups:
    """Groups of the weights of a variable, one for each index of `axis`.

    A group contains all weights with the same index along `axis`. With several axes, there is one
    group for each combination of their indices. With `gates`, the axis consists of that many
    equal blocks, and index `j` of every block belongs to group `j`: the units of an LSTM kernel
    `(input, 4 * units)` are `Groups(axis=-1, gates=4)`.

    Args:
        axis: an int, a tuple of ints, or one of the names `ROLES`.
        gates: the number of blocks along `axis`.
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
        """Raises a `ValueError` unless these groups exist in an array of this shape."""
        rank = len(shape)
        possible = f"the axes of {name} with shape {tuple(shape)} are {list(range(rank))}"
        if isinstance(self.axis, str):
            raise ValueError(
                f"`axis={self.axis!r}` is a name that only `kerasreg.attach` can translate, "
                "because a regularizer gets the tensor and not the layer. Use `kerasreg.attach`, "
                f"or pass an int: {possible} (or {list(range(-rank, 0))})."
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
                f"indices, which {self.gates} gates do not divide. Pass the number of gates of "
                "the layer, such as 4 for an LSTM."
            )

    def layout(self, shape):
        """Returns `(view, axes)`: an array that is reshaped to `view` and reduced over `axes` has
        one number per group.
        """
        shape = tuple(shape)
        self.check(shape)
        kept = {axis % len(shape) for axis in self._axes}
        if self.gates > 1:
            (axis,) = kept
            shape = (*shape[:axis], self.gates, shape[axis] // self.gates, *shape[axis + 1 :])
            kept = {axis + 1}
        return shape, tuple(axis for axis in range(len(shape)) if axis not in kept)

    def size(self, shape):
        """Returns the number of weights in one group of an array of this shape."""
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
    """Returns a bool array: True for groups that contain only zeros.

    Args:
        array: the weights.
        groups: their `Groups`.
        zeros: an upper bound on the number of zeros in `array`, to save time.
    """
    view, axes = groups.layout(array.shape)
    if zeros < groups.size(array.shape):
        return np.zeros(count_groups(groups, array.shape), bool)
    return ~np.not_equal(array, 0).reshape(view).any(axis=axes).reshape(-1)


def count_groups(groups, shape):
    """Returns the number of groups of an array of this shape."""
    view, axes = groups.layout(shape)
    return math.prod(size for axis, size in enumerate(view) if axis not in axes)
