"""The base class of scores."""

from collections.abc import Sequence

import keras
import numpy as np

from kerasreg._common.types import Tensor


class Score:
    """The base class of all scores, which define how important each weight is.

    The weights with the lowest scores are pruned first. For a custom score, pass a function
    `(variable, weights) -> array`, where `weights` is a NumPy array of at least float32, and the
    result has the same shape. If the score needs data or gradients, define a subclass.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    >>> def distance(variable, weights):
    ...     return np.abs(weights - weights.mean())
    >>> kerasreg.prune(model, 0.5, score=distance).sparsity
    0.5
    """

    #: Whether `record` is called in every train step.
    records = False

    def prepare(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        """Prepares the score. Called once, at the start of training or of `kerasreg.prune`."""

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        """Returns the new record after a train step, computed with `keras.ops`.

        Args:
            record: the previous record, a tensor of the shape of the weights; zeros at first.
            weights: the weights before the step, a tensor.
            gradient: the gradient of the loss, a tensor of the shape of the weights.
        """
        raise NotImplementedError

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the scores of one variable, an array of the shape of `weights`.

        Args:
            variable: the Keras variable.
            weights: its weights, a NumPy array of at least float32.
            record: the latest result of the method `record`, or None outside of training.
        """
        raise NotImplementedError
