"""The choice of the weights to prune, by pattern, score and scope together."""

import numpy as np

from kerasreg._common import validation
from kerasreg._common.texts import listed
from kerasreg._common.warn import warn
from kerasreg._graph.dependence import where_cut
from kerasreg._graph.notes import notes_on
from kerasreg._graph.paths import Paths
from kerasreg._pruning.patterns.names import standardize_pattern
from kerasreg._pruning.ranking import strongest_stay, weakest
from kerasreg._pruning.scopes import Scope, weakest_of_all
from kerasreg._pruning.scores.names import standardize_score
from kerasreg._pruning.units import variables_of
from kerasreg._pruning.weights import float_weights


class Selection:
    """The choice of the weights to prune: pattern, score, scope, expressions and `min_units`."""

    def __init__(self, pattern, score, scope, include, exclude, min_units=0):
        self.pattern = standardize_pattern(pattern)
        self.score = standardize_score(score)
        self.scope = Scope(scope)
        if self.pattern.is_joint and self.scope.name == "erk":
            raise ValueError(
                "The scope 'erk' depends on the shape of each variable, but coupled units and "
                "heads have weights in several. Use 'layer' (the same fraction of each row of the "
                f"plan), 'global', or a dict. Received: scope='erk', pattern={pattern!r}"
            )
        validation.expression(include, "include")
        validation.expression(exclude, "exclude")
        self._include, self._exclude = include, exclude
        meaning = "the number of units that remain in every variable"
        self.min_units = validation.integer(min_units, "min_units", at_least=0, meaning=meaning)
        #: Paths of variables in which other units were kept, to connect inputs and outputs.
        self.rerouted = []
        self._model, self._paths, self._is_constant = None, None, False
        #: `{path: number of units that remain}` of variables to which `min_units` applies.
        self.bound = {}

    def find(self, model, caller):
        """Returns `(targets, {path: reason why it is not pruned})`, see `Pattern.find`."""
        targets, skipped = self.pattern.find(model, self._include, self._exclude, caller)
        self._model, self._paths, self._is_constant = model, None, False
        self.scope.check(targets)
        return targets, skipped

    def note(self, model, constant=()):
        """Returns a remark on the plan of a model, or None; see `constant_after`."""
        notes = [self.pattern.note] if self.pattern.note else []
        if constant:
            notes.append(f"an output of the model is constant after {listed(constant)}")
        if self.scope.name == "global" and self.min_units:
            units = "unit remains" if self.min_units == 1 else "units remain"
            notes.append(f"at least {self.min_units} {units} in every row: `min_units`")
        return "; ".join([*notes, *notes_on(model)]) or None

    def check_sparsity(self, final):
        """Raises if the pattern cannot have this final sparsity."""
        only = self.pattern.final
        # The tolerance is for rounding only: in large variables, more would matter.
        if only is not None and final is not None and abs(final - only) > 1e-9:
            raise ValueError(
                f"The pattern {self.pattern.n}:{self.pattern.m} has a sparsity of {only}. "
                f"Received: a final sparsity of {final}. Omit it, or pass {only}."
            )
        if only is not None and self.scope.name in ("erk", "rules"):
            raise ValueError(
                "An N:M pattern has the same sparsity everywhere. Use the scope 'layer' or "
                "'global'. "
                f"Received: scope={self.scope.name!r}"
            )

    def scores(self, targets, alive=None, records=None):
        """Returns one array of scores per unit for each target.

        Pruned units have a score of minus infinity.

        Args:
            targets: the targets.
            alive: the masks, `{id(variable): bool array}`, or None.
            records: the records of the score, `{id(variable): array}`, or None.
        """
        return [self._score(target, alive, records or {}) for target in targets]

    def counts(self, targets, scores, sparsity, final):
        """Returns how many units of each target are pruned at this sparsity.

        `scores` may be None unless the scope is `"global"`. Without scores, a count that depends on
        them is None.
        """
        shares = self.scope.shares(targets, sparsity, final)
        self.bound = {}
        if shares is None:
            return self._global_counts(targets, scores, sparsity)
        each = zip(targets, shares, scores or [None] * len(targets), strict=True)
        return [
            self._with_floor(target, target.units.prunable(share, score), share, score)
            for target, share, score in each
        ]

    def _global_counts(self, targets, scores, sparsity):
        def counts(scores):
            found = weakest_of_all([target.units for target in targets], scores, sparsity)
            return [t.units.nearest(count) for t, count in zip(targets, found, strict=True)]

        found = counts(scores)
        each = list(zip(targets, found, scores, strict=True))
        floored = [self._with_floor(t, count, sparsity, score) for t, count, score in each]
        if floored == found:
            return found
        # Prunes more in other variables instead.
        scores = [strongest_stay(score, self.min_units) for score in scores]
        return [
            self._with_floor(target, count, sparsity, score)
            for target, count, score in zip(targets, counts(scores), scores, strict=True)
        ]

    def _with_floor(self, target, count, share, score):
        """Returns `count`, or fewer, so that `min_units` remain unless the sparsity is 1."""
        units = target.units
        most = units.at_most(units.count - self.min_units)
        if count is None or count <= most or share == 1:
            return count
        living = units.count if score is None else int(np.count_nonzero(score > -np.inf))
        if living > units.count - count:
            self.bound[target.path] = min(living, units.count - most)
        return most

    def warn_of_floor(self, caller, sparsity, known=()):
        """Warns of variables that `min_units` applies to, except the `known`. Returns all."""
        bound = [path for path in self.bound if path not in known]
        rerouted = [path for path in self.rerouted if path not in known]
        units, texts = "unit" if self.min_units == 1 else "units", []
        if bound:
            texts.append(
                f"leaves {self.min_units} {units} of {listed(bound)}, because the scope "
                f"{self.scope.name!r} would leave fewer"
            )
        if rerouted:
            texts.append(
                f"keeps units of {listed(rerouted)} with lower scores than others, because without "
                "them the inputs of the model would not reach its outputs"
            )
        if texts:
            warn(
                f"At {sparsity:.1%} zeros, `{caller}` {', and '.join(texts)}. Otherwise outputs "
                "would be constant. `exclude` these variables, lower the sparsity, or pass "
                "`min_units=0` to prune by scores alone."
            )
        return {*known, *bound, *rerouted}

    def constant_after(self, caller, targets, alive, sparsity):
        """Returns the operations in which masks make an output constant; warns if there are any.

        After the first such masks, or if all weights are pruned, it returns none. If `min_units` is
        0, it does not warn.
        """
        if self._is_constant or sparsity == 1 or _covers_all(targets, alive):
            return []
        names = where_cut(self._model, [(v, alive[id(v)]) for v in variables_of(targets)])
        self._is_constant = bool(names)
        if names and self.min_units:
            warn(
                f"At {sparsity:.1%} zeros, `{caller}` makes an output of '{self._model.name}' "
                f"constant: after {listed(names)}, nothing depends on the inputs. Lower the "
                "sparsity, `exclude` these layers and those before them, or raise `min_units`."
            )
        return names

    def choose(self, targets, scores, counts):
        """Returns masks `{id(variable): alive}` without the weakest `counts` of each target."""
        alive = {}
        for target, score, count in zip(targets, scores, counts, strict=True):
            # Pruned units stay pruned.
            count = target.units.nearest(count, least=int(np.count_nonzero(score == -np.inf)))
            for key, gone in target.spread(weakest(score, count)).items():
                alive[key] = ~gone & alive[key] if key in alive else ~gone
        self.rerouted = self._reroute(targets, scores, alive) if self.min_units else []
        return alive

    def _reroute(self, targets, scores, alive):
        """Changes masks so that inputs reach every output. Returns the changed paths.

        Coupled units and N:M patterns do not need it: their remaining units are always connected.
        """
        if not all(target.units.is_loose for target in targets) or _covers_all(targets, alive):
            return []
        if self._paths is None:
            try:
                self._paths = Paths(self._model)
            except Exception:
                # Without a known graph, only `min_units` applies.
                self._paths = False
        if not self._paths:
            return []
        each = list(zip(targets, scores, strict=True))
        weights = {id(t.variable): t.units.spread(score) for t, score in each}
        kept = self._paths.repair({id(t.variable): alive[id(t.variable)] for t in targets}, weights)
        changed = []
        for target, score in each:
            key = id(target.variable)
            # A variable is empty only if that is wanted.
            if key in kept and alive[key].any() and (kept[key] & ~alive[key]).any():
                alive[key] = _swapped(target.units, score, alive[key], kept[key])
                changed.append(target.path)
        return changed

    def _score(self, target, alive, records):
        scores = {id(v): self._of_weights(v, records.get(id(v))) for v in target.variables}
        return target.units.scores(target.take(scores), alive and target.take(alive))

    def _of_weights(self, variable, record):
        scores = self.score(variable, float_weights(variable), record)
        if scores.size and np.isnan(scores.min()):
            raise ValueError(
                f"The scores of '{variable.path}' must not be NaN. Check `score` and its data."
            )
        return scores


def _covers_all(targets, alive):
    """Returns whether every index of every axis has a weight, so that all paths are open."""
    masks = [alive[id(variable)] for variable in variables_of(targets)]
    return all(mask.any(axis=axis).all() for mask in masks for axis in range(mask.ndim))


def _swapped(units, score, alive, kept):
    """Returns a mask of the same size that contains the units that must be kept."""
    now, must = units.gather(alive), units.gather(kept)
    wanted = int(now.sum())
    free = np.where(now & ~must, score, -np.inf)
    stays = must | (now & ~weakest(free, max(0, len(now) - max(0, wanted - int(must.sum())))))
    return units.spread(stays)
