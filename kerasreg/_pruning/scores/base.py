"""What a score is: it says how much each weight matters."""

from collections.abc import Sequence

import keras
import numpy as np

from kerasreg._common.types import Tensor


class Score:
    """How much each weight matters: the base class of all scores.

    A score of your own is a function `(variable, weights) -> array` of the shape of the weights,
    which are a NumPy array of at least float32; or a subclass, if it needs data or gradients.

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
        """Called once, when training starts (or at once in `kerasreg.prune`)."""

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        """The new record after a step: tensors of the shape of the weights, in `keras.ops`.

        It begins with zeros. `weights` are those before the step, `gradient` is that of the loss.
        """
        raise NotImplementedError

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: np.ndarray | None = None
    ) -> np.ndarray:
        """The scores of one variable, an array of the shape of `weights`.

        `record` is what `record` returned last, or None where nothing is trained.
        """
        raise NotImplementedError
