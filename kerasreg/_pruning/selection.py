"""Which weights a pruning takes: pattern, score and scope together. Runs without training."""

import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.texts import listed
from kerasreg._common.warn import warn
from kerasreg._graph.notes import notes_on
from kerasreg._graph.paths import Paths
from kerasreg._graph.variables import host_view
from kerasreg._pruning.patterns.names import standardize_pattern
from kerasreg._pruning.ranking import strongest_stay, weakest
from kerasreg._pruning.scopes import Scope, weakest_of_all
from kerasreg._pruning.scores.names import standardize_score


class Selection:
    """Pattern, score and scope, the names of what they are for, and how much stays at least."""

    def __init__(self, pattern, score, scope, include, exclude, min_units=0):
        self.pattern = standardize_pattern(pattern)
        self.score = standardize_score(score)
        self.scope = Scope(scope)
        if self.pattern.is_joint and self.scope.name == "erk":
            raise ValueError(
                "The scope 'erk' takes the shape of each variable, and coupled units and heads are "
                "parts of several: use 'layer' (the same fraction of each row of the plan), "
                f"'global', or a dict. Received: scope='erk', pattern={pattern!r}"
            )
        validation.expression(include, "include")
        validation.expression(exclude, "exclude")
        self._include, self._exclude = include, exclude
        meaning = "how many units of every variable stay"
        self.min_units = validation.integer(min_units, "min_units", at_least=0, meaning=meaning)
        #: Paths of variables in which other units stay, so that outputs are reached.
        self.rerouted = []
        self._model, self._paths = None, None
        #: `{path: how many units stay}`, where otherwise none or fewer than `min_units` would.
        self.bound = {}

    def find(self, model, caller):
        """`(targets, {path: why it is not pruned})`, see `Pattern.find`."""
        targets, skipped = self.pattern.find(model, self._include, self._exclude, caller)
        self._model, self._paths = model, None
        self.scope.check(targets)
        return targets, skipped

    def note(self, model):
        """What to know when reading the plan for a model, or None."""
        notes = [self.pattern.note] if self.pattern.note else []
        if self.scope.name == "global" and self.min_units:
            units = "unit stays" if self.min_units == 1 else "units stay"
            notes.append(f"at least {self.min_units} {units} of every row: `min_units`")
        return "; ".join([*notes, *notes_on(model)]) or None

    def check_sparsity(self, final):
        """Raise unless the pattern can have this final sparsity."""
        only = self.pattern.final
        # Nearly would leave some weights of a large variable.
        if only is not None and final is not None and abs(final - only) > 1e-9:
            raise ValueError(
                f"{self.pattern.n}:{self.pattern.m} has a fraction of {only} zeros. Received: a "
                f"final sparsity of {final}. Leave it out, or pass {only}."
            )
        if only is not None and self.scope.name in ("erk", "rules"):
            raise ValueError(
                "N:M has the same sparsity everywhere: use the scope 'layer' or 'global'. "
                f"Received: scope={self.scope.name!r}"
            )

    def scores(self, targets, alive=None, records=None):
        """One score per unit, for each target; those that are dead have minus infinity.

        `alive` and `records` are `{id(variable): array}`, or None.
        """
        return [self._score(target, alive, records or {}) for target in targets]

    def counts(self, targets, scores, sparsity, final):
        """How many units of each target are dead at this sparsity.

        `scores` may be None unless the scope is global; then it is None where they decide.
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
        # What stays in one variable goes in the others.
        scores = [strongest_stay(score, self.min_units) for score in scores]
        return [
            self._with_floor(target, count, sparsity, score)
            for target, count, score in zip(targets, counts(scores), scores, strict=True)
        ]

    def _with_floor(self, target, count, share, score):
        """`count`, or fewer, so that `min_units` stay; a fraction of 1 prunes everything."""
        units = target.units
        most = units.at_most(units.count - self.min_units)
        if count is None or count <= most or share == 1:
            return count
        living = units.count if score is None else int(np.count_nonzero(score > -np.inf))
        if living > units.count - count:
            self.bound[target.path] = min(living, units.count - most)
        return most

    def warn_of_floor(self, caller, sparsity, known=()):
        """Warn of variables in which `min_units` binds, except the `known`; returns all of them."""
        bound = [path for path in self.bound if path not in known]
        rerouted = [path for path in self.rerouted if path not in known]
        units, texts = "unit" if self.min_units == 1 else "units", []
        if bound:
            texts.append(
                f"leaves {self.min_units} {units} of {listed(bound)}: the scope "
                f"{self.scope.name!r} would have left fewer"
            )
        if rerouted:
            texts.append(
                f"keeps other units of {listed(rerouted)} than the scores say: no others would "
                "lead from the inputs of the model to its outputs"
            )
        if texts:
            warn(
                f"At {sparsity:.1%} zeros, `{caller}` {', and '.join(texts)}. The outputs would be "
                "constant. `exclude` them, lower the sparsity, or pass `min_units=0` to go by the "
                "scores alone."
            )
        return {*known, *bound, *rerouted}

    def choose(self, targets, scores, counts):
        """`{id(variable): alive}`: all but the weakest `counts` units of every target."""
        alive = {}
        for target, score, count in zip(targets, scores, counts, strict=True):
            # What is dead stays dead.
            count = target.units.nearest(count, least=int(np.count_nonzero(score == -np.inf)))
            for key, gone in target.spread(weakest(score, count)).items():
                alive[key] = ~gone & alive[key] if key in alive else ~gone
        self.rerouted = self._reroute(targets, scores, alive) if self.min_units else []
        return alive

    def _reroute(self, targets, scores, alive):
        """Keep a path from the inputs to every output; returns the paths of what was changed.

        Coupled units and N:M need none: what stays of each reads what stays before it.
        """
        if not all(target.units.is_loose for target in targets) or _covers_all(targets, alive):
            return []
        if self._paths is None:
            try:
                self._paths = Paths(self._model)
            except (
                Exception
            ):  # A graph that is not understood, or none: only `min_units` holds there.
                self._paths = False
        if not self._paths:
            return []
        each = list(zip(targets, scores, strict=True))
        weights = {id(t.variable): t.units.spread(score) for t, score in each}
        kept = self._paths.repair({id(t.variable): alive[id(t.variable)] for t in targets}, weights)
        changed = []
        for target, score in each:
            key = id(target.variable)
            if key in kept and (kept[key] & ~alive[key]).any():
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
                f"The scores of '{variable.path}' must not be NaN. Look at `score` and its data."
            )
        return scores


def _covers_all(targets, alive):
    """Whether every unit still reads something, in all variables: then all paths are open."""
    masks = [alive[id(target.variable)] for target in targets]
    return all(mask.any(axis=axis).all() for mask in masks for axis in range(mask.ndim))


def _swapped(units, score, alive, kept):
    """The mask with other units in place of those that must be kept, as many as before."""
    now, must = units.gather(alive), units.gather(kept)
    wanted = int(now.sum())
    free = np.where(now & ~must, score, -np.inf)
    stays = must | (now & ~weakest(free, max(0, len(now) - max(0, wanted - int(must.sum())))))
    return units.spread(stays)


def float_weights(variable):
    """The weights as an array of at least float32.

    Raises:
        ValueError: for NaN and infinite weights, which no score can judge.
    """
    weights = host_view(variable)
    if weights.itemsize < 4:
        weights = np.asarray(ops.convert_to_numpy(ops.cast(variable, "float32")))
    if weights.size and not np.isfinite([weights.min(), weights.max()]).all():
        raise ValueError(
            f"Pruning needs finite weights. Received: NaN or infinite weights in "
            f"'{variable.path}'. Lower the learning rate, or restore an earlier checkpoint."
        )
    return weights
