"""What can go: what nobody reads, and constants that others can take over."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Dead:
    """What can go.

    Attributes:
        labels: bool array by root label.
        biases: `{(id(layer), name, place): (what its bias must add, labels of its numbers)}`.
        carried: `{id(kernel): (axis, matrix)}`: the kernel, moved along its axis of inputs, is
            `matrix @ kernel`.
    """

    labels: np.ndarray
    biases: dict[tuple, tuple[np.ndarray, np.ndarray]]
    carried: dict[int, tuple[int, np.ndarray]]

    @classmethod
    def nothing(cls, analysis):
        """All stays."""
        return cls(np.zeros(len(analysis.roots), bool), {}, {})


def find_dead(analysis, round_to=1) -> Dead:
    """The largest set of labels that can go together.

    `round_to`: what stays of every width is a multiple of it, where the width is larger.
    """
    roots = analysis.roots
    dead = np.zeros(len(roots), bool)
    dead[roots] = True
    dead[0] = False
    views = [_View(reader, roots) for reader in analysis.readers]
    _require_agreement(views)
    widths = [roots[labels] for each in analysis.slices.values() for labels in each.axes.values()]
    tensors = [each for call in analysis.graph.calls for each in call.outputs]
    parts = {id(labels): roots[labels] for each in tensors for labels in each.labels.values()}
    while True:
        _revive_what_is_read(views, dead)
        missing = _missing_carriers(views, dead)
        if missing is None:
            missing = _missing_units(widths, dead, round_to)
            if missing is None:
                missing = _missing_units(parts.values(), dead, 1)
            if missing is None:
                missing = _missing_bias(analysis, dead)
            # What stays only to be there may be spared where less is left.
            analysis.is_coarse |= missing is not None
        if missing is None:
            break
        dead[missing] = False
    return Dead(dead, _biases(views, dead), _carried(views, dead))


class _View:
    """A reader, by root labels."""

    def __init__(self, reader, roots):
        self.reader = reader
        self.labels = roots[reader.labels]
        self.writes = roots[reader.writes]
        self.constants = reader.constants.copy()

    def gone(self, dead):
        """Which inputs are gone."""
        return dead[self.labels].any(axis=0)

    def read(self, dead):
        """Which inputs an output that stays depends on."""
        stays = ~dead[self.writes].any(axis=0)
        connected = self.reader.connected
        return (connected if stays.all() else connected[:, stays]).any(axis=1)

    @property
    def movable(self):
        """Which inputs something else can stand in for."""
        if self.reader.bias is None and self.reader.kernel is None:
            return self.constants == 0
        return np.isfinite(self.constants)

    def to_carry(self, dead):
        """Which dead constants need another constant to carry them."""
        if self.reader.bias is not None:
            return np.zeros(len(self.constants), bool)
        return self.gone(dead) & (self.constants != 0) & self.read(dead)

    def carriers(self, dead):
        """Which constants could carry others."""
        known = np.isfinite(self.constants) & (self.constants != 0)
        return known & ~self.gone(dead)


def _require_agreement(views):
    """Layers that are called several times have one bias: their constants must be the same."""
    by_share = {}
    for view in views:
        if view.reader.share is not None:
            by_share.setdefault(view.reader.share, []).append(view)
    for several in by_share.values():
        first = several[0].constants
        same = np.all([view.constants == first for view in several], axis=0)
        can_fold = all(view.reader.bias is not None for view in several)
        for view in several:
            view.constants[~same] = np.nan
            if not can_fold:
                # What one call cannot fold, the others must carry as well.
                view.reader.bias = None


def _revive_what_is_read(views, dead):
    before = -1
    while before != dead.sum():
        before = dead.sum()
        for view in views:
            gone = view.gone(dead)
            if gone.any():
                kept = gone & ~view.movable
                if kept.any():
                    dead[view.labels[:, kept & view.read(dead)]] = False


def _missing_carriers(views, dead):
    """Labels that must stay to carry others, or None.

    Those that serve most readers, and of these the largest: others are small beside it.
    """
    served, size = np.zeros(len(dead)), np.zeros(len(dead))
    for view in views:
        needed = view.to_carry(dead)
        if needed.any() and not view.carriers(dead).any():
            served[np.unique(view.labels[:, needed])] += 1
            np.maximum.at(size, view.labels[:, needed], np.abs(view.constants[needed]))
    served[~dead] = 0
    if not served.any():
        return None
    return np.argmax(np.where(served == served.max(), size, -1.0))


def _missing_units(widths, dead, round_to):
    """Labels of an axis that would become empty, or not a multiple of `round_to`, or None."""
    # From the outputs on: what a unit that stays reads must stay too.
    for roots in reversed(widths):
        gone = np.flatnonzero(dead[roots])
        kept = len(roots) - len(gone)
        if gone.size and kept == 0:
            return roots[gone[:1]]
        if gone.size and len(roots) > round_to and kept % round_to:
            return roots[gone[: -kept % round_to]]
    return None


def _missing_bias(analysis, dead):
    """A label that must stay so that no bias gets the shape `(several, 1)`, or None.

    `keras.ops.add` on TensorFlow adds such a bias along axis 1 or the last one of a tensor if one
    of these has as many numbers, whichever axis it was made for.
    """
    for each in analysis.slices.values():
        shape = tuple(each.variable.shape)
        *others, last = range(len(shape))
        if each.variable.name != "bias" or not others or last not in each.axes:
            continue
        labels = {axis: analysis.roots[found] for axis, found in each.axes.items()}
        kept = {axis: np.count_nonzero(~dead[found]) for axis, found in labels.items()}
        several = any(kept.get(axis, shape[axis]) > 1 for axis in others)
        if several and kept[last] == 1 < shape[last]:
            return labels[last][np.flatnonzero(dead[labels[last]])[:1]]
    return None


def _biases(views, dead):
    biases = {}
    for view in views:
        moved = view.gone(dead) & np.isfinite(view.constants) & (view.constants != 0)
        if view.reader.bias is not None and moved.any():
            # All calls of a layer have the same constants, and one bias.
            layer, *name = view.reader.bias
            added = view.reader.fold(np.where(moved, view.constants, 0.0))
            biases[id(layer), *name] = added, view.reader.writes
    return biases


def _carried(views, dead):
    carried = {}
    for view in views:
        needed = view.to_carry(dead)
        if needed.any():
            sizes = np.where(view.carriers(dead), np.abs(view.constants), 0.0)
            carrier = np.argmax(sizes)
            matrix = np.eye(len(view.constants))
            matrix[carrier, needed] = view.constants[needed] / view.constants[carrier]
            carried[id(view.reader.kernel)] = view.reader.axis, matrix
    return carried
