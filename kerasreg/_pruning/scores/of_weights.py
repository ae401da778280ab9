"""Scores that need no data: magnitudes, random numbers, functions."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg._pruning.scores.base import Score


class Magnitude(Score):
    """The magnitude `|w|` of each weight.

    Example:

    >>> score = kerasreg.scores.Magnitude()
    >>> score(None, np.array([3.0, -4.0]))
    array([3., 4.])
    """

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return np.abs(weights)


class Random(Score):
    """A random number for each weight, as a baseline for other scores.

    Args:
        seed: an int >= 0. The numbers differ between the variables of a model, but are the same in
            every call and for every model of the same architecture.

    Raises:
        ValueError: for an invalid `seed`.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> plan = kerasreg.prune(model, 0.5, score=kerasreg.scores.Random(seed=1))
    >>> plan.sparsity
    0.5
    """

    def __init__(self, seed: int = 0):
        self.seed = validation.integer(seed, "seed", at_least=0)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        # Not by path: automatic names depend on how many layers were built before.
        self._places = {id(variable): place for place, variable in enumerate(model.weights)}

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self._places[id(variable)]])
        return rng.random(weights.shape, "float32")


class Custom(Score):
    """The scores that a function `(variable, weights) -> array` returns."""

    def __init__(self, function):
        self._function = function

    def __call__(self, variable, weights, record=None):
        scores = ops.convert_to_numpy(self._function(variable, weights))
        # Scores may be set to infinity later, which integers cannot represent.
        scores = np.asarray(scores, np.promote_types(np.asarray(scores).dtype, "float32"))
        if scores.shape != weights.shape:
            raise ValueError(
                f"`score` must return an array of the shape of the weights, {weights.shape} for "
                f"'{variable.path}'. Received: shape {scores.shape}"
            )
        return scores
