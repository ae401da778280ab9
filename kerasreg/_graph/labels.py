"""Which coordinates belong together: they go together, or stay together."""

import numpy as np


class Labels:
    """A label per coordinate; those that are unified are one. Label 0 must stay.

    Attributes:
        reasons: why a label must stay, by label.
    """

    def __init__(self):
        self._count = 1
        self._left, self._right = [], []
        self.reasons = {}

    def new(self, count):
        """So many labels of their own."""
        labels = np.arange(self._count, self._count + count)
        self._count += count
        return labels

    def unify(self, first, second):
        """Make two arrays of labels the same, one by one."""
        first, second = np.broadcast_arrays(first, second)
        self._left.append(first.reshape(-1))
        self._right.append(second.reshape(-1))

    def pin(self, labels, reason):
        """These must stay."""
        if labels is not None:
            self.unify(labels, 0)
            for label in np.unique(labels):
                self.reasons.setdefault(int(label), reason)

    def roots(self):
        """`roots[label]` is the same for all that are one; 0 for those that must stay."""
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
