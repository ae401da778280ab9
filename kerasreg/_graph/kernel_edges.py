"""Kernels as edges between units, for the search for paths."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class KernelEdge:
    """A kernel and the units that it reads and writes.

    Attributes:
        variable: the kernel.
        view: its shape for the search, in which heads and their sizes are one axis.
        reads: `{axis of the view: int array of unit numbers}`; -1 for units that cannot be removed.
        writes: the same for the units that it computes.
        is_gate: whether it is a depthwise kernel.
        gates: the edges of the depthwise kernels before it.
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
        """Returns the width of the filter of a gate for each input that cannot be removed.

        Such inputs have no unit numbers, so filters are matched by position. Returns None if the
        sizes do not match.
        """
        rows = self.view[-2]
        if rows != gate.view[-2] * gate.view[-1]:
            return None
        is_fixed = self.reads.get(len(self.view) - 2, np.full(rows, -1)) < 0
        width = values.max(axis=tuple(range(values.ndim - 2))).reshape(-1)
        return np.where(is_fixed, width, np.inf)


def is_kernel(variable):
    """Returns whether a variable connects units."""
    # Biases have no inputs. An empty shape is true on TensorFlow.
    shape = tuple(variable.shape)
    return len(shape) > 1 and 0 not in shape and variable.name != "bias"


def mask_of(kernel, kept):
    """Returns the bool array of the weights to keep, in the view of the kernel."""
    return kept.setdefault(id(kernel.variable), np.zeros(kernel.view, bool))


def keep_best(kernel, at, values, kept):
    """Marks the largest weight of a part as a weight to keep."""
    part = values[at]
    place = np.unravel_index(int(np.argmax(part)), part.shape)
    mask_of(kernel, kept)[at][place] = True
