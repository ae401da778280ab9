"""Which weights a pruning takes: pattern, score and scope together. Runs without training."""

import numpy as np
from keras import ops

from kerasreg.pruning.coupled import Coupled
from kerasreg.pruning.patterns import standardize_pattern
from kerasreg.pruning.scopes import Scope, weakest_of_all
from kerasreg.pruning.scores import standardize_score
from kerasreg.pruning.selection import weakest
from kerasreg.variables import host_view


class Rule:
    """Pattern, score and scope, and the names of what they are for."""

    def __init__(self, pattern, score, scope, include, exclude):
        self.pattern = standardize_pattern(pattern)
        self.score = standardize_score(score)
        self.scope = Scope(scope)
        if isinstance(self.pattern, Coupled) and self.scope.name == "erk":
            raise ValueError(
                "The scope 'erk' takes the shape of each variable, and coupled units are parts of "
                "several: use 'layer' (each width its share), 'global', or a dict. Received: "
                "scope='erk'"
            )
        self._include, self._exclude = include, exclude

    def find(self, model, caller):
        """`(targets, {path: why it is not pruned})`, see `Pattern.find`."""
        targets, skipped = self.pattern.find(model, self._include, self._exclude, caller)
        self.scope.check(targets)
        return targets, skipped

    def check_sparsity(self, final):
        """Raise unless the pattern can have this final sparsity."""
        only = self.pattern.final
        # Nearly would leave some weights of a large variable.
        if only is not None and final is not None and abs(final - only) > 1e-9:
            raise ValueError(
                f"{self.pattern.n}:{self.pattern.m} has a share of {only} zeros. Received: a final "
                f"sparsity of {final}. Leave it out, or pass {only}."
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
        if shares is None:
            counts = weakest_of_all([target.units for target in targets], scores, sparsity)
            return [t.units.nearest(count) for t, count in zip(targets, counts, strict=True)]
        each = zip(targets, shares, scores or [None] * len(targets), strict=True)
        return [target.units.prunable(share, score) for target, share, score in each]

    def choose(self, targets, scores, counts):
        """`{id(variable): alive}`: all but the weakest `counts` units of every target."""
        alive = {}
        for target, score, count in zip(targets, scores, counts, strict=True):
            # What is dead stays dead.
            count = target.units.nearest(count, least=int(np.count_nonzero(score == -np.inf)))
            for key, gone in target.spread(weakest(score, count)).items():
                alive[key] = ~gone & alive[key] if key in alive else ~gone
        return alive

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
