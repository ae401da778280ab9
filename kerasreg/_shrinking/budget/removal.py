"""The weakest units of a model: which they are, and the model without them."""

import numpy as np

from kerasreg._graph.variables import host_view
from kerasreg._pruning.ranking import weakest
from kerasreg._pruning.units import variables_of
from kerasreg._shrinking.dead import Dead, find_dead
from kerasreg._shrinking.rebuild import Rebuild


class Removal:
    """The weakest units of a model, to a fraction of all that may go.

    Args:
        model: a built model.
        selection: the `Selection` of a pruning of coupled units.
        analysis: that of the model.
    """

    def __init__(self, model, selection, analysis):
        self.model, self._selection, self.analysis = model, selection, analysis
        self._targets, _ = selection.find(model, "kerasreg.shrink_to")
        variables = variables_of(self._targets)
        selection.score.prepare(model, variables)
        alive = {id(variable): host_view(variable) != 0 for variable in variables}
        self._scores = selection.scores(self._targets, alive)
        self._dead = find_dead(self.analysis).labels
        self._roots = [self._roots_of(target.group.members[0]) for target in self._targets]

    def gone(self, share):
        """Which root labels go, with those that are dead already."""
        gone = self._dead.copy()
        for roots, units in zip(self._roots, self._units(share), strict=True):
            gone[roots[units]] = True
        gone[0] = False
        return gone

    def without(self, share):
        """A model of the size that is left; its outputs are those of no other."""
        return Rebuild(self.analysis, Dead(self.gone(share), {}, {})).model(self.model)

    def zeroed(self, share):
        """A copy of the model in which the units are zero."""
        copy = Rebuild(self.analysis, Dead.nothing(self.analysis)).model(self.model)
        twins = dict(zip(map(id, self.model.weights), copy.weights, strict=True))
        for target, units in zip(self._targets, self._units(share), strict=True):
            for key, mask in target.spread(units).items():
                value = host_view(twins[key])
                twins[key].assign(np.where(mask, np.zeros_like(value), value))
        return copy

    def _units(self, share):
        counts = self._selection.counts(self._targets, self._scores, share, share)
        for target, scores, count in zip(self._targets, self._scores, counts, strict=True):
            # What is dead stays dead.
            count = target.units.nearest(count, least=int(np.count_nonzero(scores == -np.inf)))
            yield weakest(scores, count)

    def _roots_of(self, member):
        labels = self.analysis.slices[id(member.variable)].axes[member.axis]
        return self.analysis.roots[labels[member.indices[:, 0]]]
