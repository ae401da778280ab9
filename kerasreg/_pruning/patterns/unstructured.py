"""The pattern of single weights."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.units import Units


class Unstructured(Pattern):
    """Single weights: each weight is a unit.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> kerasreg.prune(model, 0.5, pattern=kerasreg.patterns.Unstructured()).sparsity
    0.5
    """

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        return Weights(variable.shape)


class Weights(Units):
    is_loose = True

    def __init__(self, shape, limit=None, remark=None):
        super().__init__(shape, math.prod(shape), 1, limit, remark)

    def _scores(self, scores):
        return scores.reshape(-1)

    def gather(self, alive):
        return alive.reshape(-1)

    def spread(self, units):
        return units.reshape(self.shape)
