"""What can go: what nobody reads, and constants that others can take over."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Dead:
    """What can go.

    Attributes:
        labels: bool array by root label.
        biases: `{id(layer): (outputs,) what its bias must add}`.
        carried: `{id(kernel): (axis, matrix)}`: the kernel, moved along its axis of inputs, is
            `matrix @ kernel`.
    """

    labels: np.ndarray
    biases: dict[int, np.ndarray]
    carried: dict[int, tuple[int, np.ndarray]]


def find_dead(analysis) -> Dead:
    """The largest set of labels that can go together."""
    roots = analysis.roots
    dead = np.zeros(len(roots), bool)
    dead[roots] = True
    dead[0] = False
    views = [_View(reader, roots) for reader in analysis.readers]
    _require_agreement(views)
    while True:
        _revive_what_is_read(views, dead)
        missing = _missing_carriers(views, dead) or _missing_last(analysis, dead)
        if missing is None:
            break
        dead[missing] = False
    return Dead(dead, _biases(views, dead), _carried(views, dead))


class _View:
    """A reader, by root labels."""

    def __init__(self, reader, roots):
        self.reader = reader
        self.labels = roots[reader.labels]
        self.writes = None if reader.writes is None else roots[reader.writes]
        self.constants = reader.constants.copy()

    def read(self, dead):
        """Which inputs an output that stays depends on."""
        connected = self.reader.connected
        if self.writes is None:
            return connected.any(axis=1)
        return connected[:, ~dead[self.writes]].any(axis=1)

    def to_carry(self, dead):
        """Which dead constants need another constant to carry them."""
        if self.reader.uniform:
            return np.zeros(len(self.labels), bool)
        return dead[self.labels] & self.read(dead) & (self.constants != 0)

    def carriers(self, dead):
        """Which constants could carry others."""
        known = np.isfinite(self.constants) & (self.constants != 0)
        return known & ~dead[self.labels]


def _require_agreement(views):
    """Layers that are called several times have one bias: their constants must be the same."""
    by_layer = {}
    for view in views:
        by_layer.setdefault(id(view.reader.layer), []).append(view)
    for several in by_layer.values():
        first = several[0].constants
        same = np.all([view.constants == first for view in several], axis=0)
        for view in several:
            view.constants[~same] = np.nan


def _revive_what_is_read(views, dead):
    before = -1
    while before != dead.sum():
        before = dead.sum()
        for view in views:
            movable = view.constants == 0
            if view.reader.uniform or view.reader.kernel is not None:
                movable |= np.isfinite(view.constants)
            dead[view.labels[view.read(dead) & ~movable]] = False


def _missing_carriers(views, dead):
    """A label that must stay to carry others, or None. The one that serves most readers."""
    wanting = []
    for view in views:
        needed = view.to_carry(dead)
        if needed.any() and not view.carriers(dead).any():
            wanting.append(view.labels[needed])
    if not wanting:
        return None
    labels, counts = np.unique(np.concatenate(wanting), return_counts=True)
    return labels[np.argmax(counts)]


def _missing_last(analysis, dead):
    """A label of an axis that would become empty, or None."""
    for each in analysis.slices.values():
        for labels in each.axes.values():
            roots = analysis.roots[labels]
            if roots.size and dead[roots].all():
                return roots[0]
    return None


def _biases(views, dead):
    biases = {}
    for view in views:
        gone = dead[view.labels] & np.isfinite(view.constants) & (view.constants != 0)
        if view.reader.uniform and gone.any():
            # All calls of a layer have the same constants, and one bias.
            biases[id(view.reader.layer)] = view.constants[gone] @ view.reader.sums[gone]
    return biases


def _carried(views, dead):
    carried = {}
    for view in views:
        needed = view.to_carry(dead)
        if needed.any():
            carrier = np.flatnonzero(view.carriers(dead))[0]
            matrix = np.eye(len(view.labels))
            matrix[carrier, needed] = view.constants[needed] / view.constants[carrier]
            carried[id(view.reader.kernel)] = view.reader.axis, matrix
    return carried
