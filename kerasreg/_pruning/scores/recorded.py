"""Scores that record the gradients of a training."""

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg._pruning.scores.base import Score


class Taylor(Score):
    """`mean |gradient * w|` over the last steps: by how much the loss would change without `w`.

    First order in `w`. The mean is a moving one and costs 4 bytes per weight during training.
    Without training, `SNIP(x, y)` is the same on given data.

    Args:
        decay: of the moving mean, from 0.0 (the last step only) to below 1.0.

    Source: Molchanov et al. (2019), "Importance Estimation for Neural Network Pruning".

    Example:

    >>> pruning = kerasreg.callbacks.Pruning(0.5, score=kerasreg.scores.Taylor(decay=0.9))
    """

    records = True

    def __init__(self, decay: float = 0.99):
        self.decay = validation.number(decay, "decay", at_least=0, below=1)

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        return self.decay * record + (1 - self.decay) * ops.abs(weights * gradient)

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return _recorded(self, record)


class Movement(Score):
    """`-sum gradient * w` over all steps: high for weights that training moves away from zero.

    For fine-tuning, where the magnitudes are still those of the pretrained model. Costs 4 bytes
    per weight during training.

    Source: Sanh et al. (2020), "Movement Pruning".

    Example:

    >>> pruning = kerasreg.callbacks.Pruning(0.5, score=kerasreg.scores.Movement())
    """

    records = True

    def record(self, record: Tensor, weights: np.ndarray, gradient: Tensor) -> Tensor:
        return record - weights * gradient

    def __call__(
        self, variable: keras.Variable, weights: np.ndarray, record: Tensor = None
    ) -> np.ndarray:
        return _recorded(self, record)


def _recorded(score, record):
    if record is None:
        raise ValueError(
            f"{type(score).__name__} records the gradients of a training, and here is none. Use "
            "`kerasreg.callbacks.Pruning` in a fit, or `kerasreg.scores.SNIP(x, y)`, the gradient "
            "times the weights on given data."
        )
    return record
