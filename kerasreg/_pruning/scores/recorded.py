"""Scores that record gradients during training."""

import keras
import numpy as np
from keras import ops

from kerasreg._common import validation
from kerasreg._common.types import Tensor
from kerasreg._pruning.scores.base import Score


class Taylor(Score):
    """The moving average of `|gradient * w|` over train steps.

    `|gradient * w|` is the first-order estimate of how much the loss changes if `w` becomes zero.
    The record needs 4 bytes per weight during training. Without training, use `SNIP(x, y)`, which
    computes a similar score on given data.

    Args:
        decay: the decay of the moving average, from 0.0 (the last step only) to below 1.0.

    Raises:
        ValueError: for an invalid `decay`; when weights are pruned, if no gradients were recorded.

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
    """The sum of `-gradient * w` over all train steps.

    It is high for weights that training moves away from zero. It suits fine-tuning, where
    magnitudes are mostly those of the pretrained model. The record needs 4 bytes per weight during
    training.

    Raises:
        ValueError: when weights are pruned, if no gradients were recorded.

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
            f"{type(score).__name__} needs gradients that are recorded during training, but there "
            "is no training here. Use `kerasreg.callbacks.Pruning` in a fit, or "
            "`kerasreg.scores.SNIP(x, y)`, which computes gradients on given data."
        )
    return record
