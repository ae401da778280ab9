"""Scores that are measured once, on given data."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg._pruning.calibration import input_norms, loss_gradients
from kerasreg._pruning.scores.base import Score


class SNIP(Score):
    """The magnitude `|gradient * w|` on given data, measured once, before anything is pruned.

    Use it to prune at initialization in one shot. On a trained model, it is the first-order Taylor
    score. The gradient is the mean over the data, of the loss that the model was compiled with.

    Args:
        x, y: some hundreds of samples, as for `fit`; `x` may be a dataset of batches.
        batch_size: the number of samples per batch; None for all in one batch.

    Raises:
        ValueError: for an invalid `batch_size`; when weights are scored, for a model that is not
            compiled, or for data that is empty or infinite.

    Source: Lee et al. (2019), "SNIP: Single-shot Network Pruning based on Connection Sensitivity".

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> x, y = np.ones((4, 8)), np.ones((4, 6))
    >>> model.compile("sgd", "mse")
    >>> kerasreg.prune(model, 0.5, score=kerasreg.scores.SNIP(x, y)).sparsity
    0.5
    """

    def __init__(self, x: Any, y: Any = None, batch_size: int | None = 128):
        self._data = x, y, _batch_size(batch_size)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        gradients = loss_gradients(model, variables, *self._data)
        self._scores = {
            id(variable): np.abs(gradient * np.asarray(ops.convert_to_numpy(variable), "float32"))
            for variable, gradient in zip(variables, gradients, strict=True)
        }

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return self._scores[id(variable)]


class Activation(Score):
    """The product `|w| * ||x||`, where `x` is the input of the weight over given data.

    Of two weights of the same magnitude, the one with the larger input is more important. The norm
    is known for dense layers, convolutions (where it is that of the whole input channel, including
    positions that strides and borders skip), `EinsumDense` and the projections of attention. For
    other layers, it is taken as 1, so that the score is the magnitude.

    Args:
        x: some batches of inputs, as for `predict`.
        batch_size: the number of samples per batch; None for all in one batch.

    Raises:
        ValueError: for an invalid `batch_size`; when weights are scored, for data that is empty or
            infinite.

    Source: Sun et al. (2023), "A Simple and Effective Pruning Approach for Large Language Models"
    (Wanda).

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> score = kerasreg.scores.Activation(np.ones((4, 8)))
    >>> kerasreg.prune(model, 0.5, score=score).sparsity
    0.5
    """

    def __init__(self, x: Any, batch_size: int | None = 128):
        self._data = x, _batch_size(batch_size)

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        self._norms = input_norms(model, variables, *self._data)

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return np.abs(weights) * self._norms.get(id(variable), 1.0)


def _batch_size(value):
    return validation.integer(value, "batch_size", at_least=1, none="all in one batch")
