"""Kernels between units, as the search for paths sees them."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class KernelEdge:
    """A variable between units: `reads` and `writes` are `{axis: number of the unit, or -1}`.

    The axes are those of `view`, in which the heads of an attention and their sizes are one.
    """

    variable: object
    view: tuple = ()
    reads: dict = field(default_factory=dict)
    writes: dict = field(default_factory=dict)
    is_gate: bool = False
    gates: list = field(default_factory=list)

    def __post_init__(self):
        self.view = tuple(self.variable.shape)

    def fixed_rows(self, gate, values):
        """How wide the filter of a gate is in front of each input that must stay, or None.

        Units that must stay have no numbers: a filter belongs to the input in the same place.
        """
        rows = self.view[-2]
        if rows != gate.view[-2] * gate.view[-1]:
            return None
        is_fixed = self.reads.get(len(self.view) - 2, np.full(rows, -1)) < 0
        width = values.max(axis=tuple(range(values.ndim - 2))).reshape(-1)
        return np.where(is_fixed, width, np.inf)


def is_kernel(variable):
    """Whether a variable leads from units to units."""
    # What is added comes from no input; TensorFlow's empty shape is true.
    shape = tuple(variable.shape)
    return len(shape) > 1 and 0 not in shape and variable.name != "bias"


def mask_of(kernel, kept):
    """Which weights of a kernel must stay, in the axes of its view."""
    return kept.setdefault(id(kernel.variable), np.zeros(kernel.view, bool))


def keep_best(kernel, at, values, kept):
    """Keep the largest weight of a part."""
    part = values[at]
    place = np.unravel_index(int(np.argmax(part)), part.shape)
    mask_of(kernel, kept)[at][place] = True
