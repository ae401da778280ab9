"""Selection and removal of the weakest units of a model."""

import numpy as np

from kerasreg._graph.variables import host_view
from kerasreg._pruning.ranking import weakest
from kerasreg._pruning.units import variables_of
from kerasreg._shrinking.dead import Dead, find_dead
from kerasreg._shrinking.rebuild import Rebuild


class Removal:
    """The removal of a fraction of the removable units of a model, the weakest first.

    Args:
        model: a built model.
        selection: a `Selection` with the pattern `Coupled`.
        analysis: the `Analysis` of the model.
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
        """Returns a bool array of the root labels to remove, including those that are dead."""
        gone = self._dead.copy()
        for roots, units in zip(self._roots, self._units(share), strict=True):
            gone[roots[units]] = True
        gone[0] = False
        return gone

    def without(self, share):
        """Returns a model of the remaining size, for timing only; its outputs are meaningless."""
        return Rebuild(self.analysis, Dead(self.gone(share), {}, {})).model(self.model)

    def zeroed(self, share):
        """Returns a copy of the model in which the weights of the removed units are zero."""
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
            # Dead units (with a score of -inf) are always among the selected ones.
            count = target.units.nearest(count, least=int(np.count_nonzero(scores == -np.inf)))
            yield weakest(scores, count)

    def _roots_of(self, member):
        labels = self.analysis.slices[id(member.variable)].axes[member.axis]
        return self.analysis.roots[labels[member.indices[:, 0]]]
