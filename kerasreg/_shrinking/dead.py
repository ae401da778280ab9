"""Units that can be removed: unused ones, and constant ones that a bias or kernel can absorb."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Dead:
    """The units to remove.

    Attributes:
        labels: bool array, indexed by root label; True for units to remove.
        biases: `{(id(layer), name, place): (added, labels)}`: the values to add to a bias, and the
            labels of its elements.
        carried: `{id(kernel): (axis, matrix)}`: along its input axis `axis`, the kernel is to be
            replaced by `matrix @ kernel`.
    """

    labels: np.ndarray
    biases: dict[tuple, tuple[np.ndarray, np.ndarray]]
    carried: dict[int, tuple[int, np.ndarray]]

    @classmethod
    def nothing(cls, analysis):
        """Returns a `Dead` that keeps every unit."""
        return cls(np.zeros(len(analysis.roots), bool), {}, {})


def find_dead(analysis, round_to=1, stays=()) -> Dead:
    """Returns the largest set of labels that can be removed together.

    Args:
        analysis: the `Analysis` of a model.
        round_to: every width larger than this keeps a multiple of it.
        stays: labels that must stay in addition to the pinned ones.
    """
    roots = analysis.roots
    dead = np.zeros(len(roots), bool)
    dead[roots] = True
    dead[0] = False
    dead[roots[np.asarray(stays, int)]] = False
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
            # A unit that must stay only because of a size may be removable from the smaller model.
            analysis.is_coarse |= missing is not None
        if missing is None:
            break
        dead[missing] = False
    return Dead(dead, _biases(views, dead), _carried(views, dead))


class _View:
    """A `Reader` with its labels replaced by their root labels."""

    def __init__(self, reader, roots):
        self.reader = reader
        self.labels = roots[reader.labels]
        self.writes = roots[reader.writes]
        self.constants = reader.constants.copy()

    def gone(self, dead):
        """Returns which inputs are removed."""
        return dead[self.labels].any(axis=0)

    def read(self, dead):
        """Returns which inputs at least one remaining output depends on."""
        stays = ~dead[self.writes].any(axis=0)
        connected = self.reader.connected
        return (connected if stays.all() else connected[:, stays]).any(axis=1)

    @property
    def movable(self):
        """Which inputs are constants that can be replaced when they are removed."""
        if self.reader.bias is None and self.reader.kernel is None:
            return self.constants == 0
        return np.isfinite(self.constants)

    def to_carry(self, dead):
        """Returns which removed constants need a remaining constant to carry their contribution."""
        if self.reader.bias is not None:
            return np.zeros(len(self.constants), bool)
        return self.gone(dead) & (self.constants != 0) & self.read(dead)

    def carriers(self, dead):
        """Returns which remaining constants can carry the contribution of removed ones."""
        known = np.isfinite(self.constants) & (self.constants != 0)
        return known & ~self.gone(dead)


def _require_agreement(views):
    """Marks constants as unknown where the calls of one layer disagree: they share its bias."""
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
                # If one call cannot use the bias, no call can.
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
    """Returns the label that must stay to carry removed constants, or None.

    It is the one that serves the most readers and, among these, the constant with the largest
    magnitude, so that the constants it carries are small in comparison.
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
    """Returns labels that must stay because of the width of their axis, or None.

    A width must not become 0, and a width larger than `round_to` must be a multiple of it.
    """
    # Backwards from the outputs, because the inputs of a unit that stays must stay too.
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
            # All calls of a layer have the same constants: see `_require_agreement`.
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
