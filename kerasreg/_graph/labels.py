"""Labels of coordinates: those with the same label are removed together or stay together."""

import numpy as np


class Labels:
    """Integer labels that can be unified. Coordinates with label 0 are never removed.

    Attributes:
        reasons: `{label: why its coordinates are not removed}`.
    """

    def __init__(self):
        self._count = 1
        self._left, self._right = [], []
        self.reasons = {}

    def new(self, count):
        """Returns `count` fresh labels."""
        labels = np.arange(self._count, self._count + count)
        self._count += count
        return labels

    def unify(self, first, second):
        """Unifies two arrays of labels element by element."""
        first, second = np.broadcast_arrays(first, second)
        self._left.append(first.reshape(-1))
        self._right.append(second.reshape(-1))

    def pin(self, labels, reason):
        """Unifies labels with 0, so that their coordinates are kept; None does nothing."""
        if labels is not None:
            self.unify(labels, 0)
            for label in np.unique(labels):
                self.reasons.setdefault(int(label), reason)

    def roots(self):
        """Returns an array: `roots[label]` is equal for unified labels, and 0 if they are kept."""
        roots = np.arange(self._count)
        if not self._left:
            return roots
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        while True:
            lowest = np.minimum(roots[left], roots[right])
            new = roots.copy()
            np.minimum.at(new, roots[left], lowest)
            np.minimum.at(new, roots[right], lowest)
            while (new[new] != new).any():
                new = new[new]
            if (new == roots).all():
                return roots
            roots = new
