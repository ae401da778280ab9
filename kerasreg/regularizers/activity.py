"""Penalties of activations for `activity_regularizer=`. They have no proximal operator."""

import math
from typing import Any

import keras
from keras import ops

from kerasreg._common import validation
from kerasreg.regularizers.base import Penalty, absolute

#: Activations are clipped this far from 0 and 1. It and 1 minus it are exact in float32.
EPSILON = 2.0**-23


class ActivityPenalty(Penalty):
    """A penalty of activations `(batch, ..., features)`: the batch size times a mean.

    Keras divides the value of an `activity_regularizer` by the batch size, so that the loss
    contains the mean. (Before keras#22021, Keras 3 does not divide, contrary to its documentation.)
    """

    def __init__(self, factor):
        self.factor = validation.number(factor, "factor", at_least=0)

    def check(self, shape, name="activations"):
        if len(shape) < 2:
            raise ValueError(
                f"`{type(self).__name__}` needs activations of shape (batch, ..., features). "
                f"Received: {name} of shape {tuple(shape)}"
            )

    def _value(self, weights):
        batch = ops.cast(ops.shape(weights)[0], weights.dtype)
        return self.factor * batch * self._mean(weights)

    def _mean(self, activations):
        raise NotImplementedError


@keras.saving.register_keras_serializable("kerasreg")
class ActivityEntropy(ActivityPenalty):
    """`factor * mean H(p)`: penalizes activations spread over many features of a sample.

    For `activity_regularizer=`. `H(p) = -sum_j p_j log p_j` is the entropy of the activations of
    one sample and position, normalized to a distribution `p` over the last axis (Grandvalet &
    Bengio, 2004). It is 0 if one feature is active and `log(features)` if all features are equally
    active. It is also 0 if no feature is active.

    The layer adds the mean over the batch and all positions to its losses. A direct call returns
    this mean times the batch size. It has no proximal operator: `ProximalGradient` leaves it in the
    loss, and its gradient trains the layer.

    Args:
        factor: finite float >= 0, the regularization factor.
        from_logits: bool. If True, `p = softmax(activations)`. If False, `p_j = |a_j| / sum |a|`,
            which does not change probabilities and is suitable for activations of any scale, such
            as those of ReLU.

    Raises:
        ValueError: if an argument is invalid, or if the activations have fewer than two axes.

    Example:

    >>> regularizer = kerasreg.regularizers.ActivityEntropy(1.0)
    >>> selective, spread = np.array([[0.0, 3.0]]), np.array([[1.0, 1.0]])
    >>> [round(float(regularizer(activations)), 5) for activations in (selective, spread)]
    [0.0, 0.69315]
    """

    def __init__(self, factor: float = 0.01, from_logits: bool = False):
        super().__init__(factor)
        self.from_logits = validation.flag(from_logits, "from_logits")

    def _mean(self, activations):
        if self.from_logits:
            logs = ops.log_softmax(activations, axis=-1)
            shares = ops.exp(logs)
        else:
            sizes = absolute(activations)
            total = ops.sum(sizes, axis=-1, keepdims=True)
            shares = sizes / ops.where(total == 0, ops.ones_like(total), total)
            # The derivative of p log p is infinite at 0. Inactive features get a zero gradient.
            logs = ops.log(ops.where(shares == 0, ops.ones_like(shares), shares))
        entropy = 0.0 - ops.sum(shares * logs, axis=-1, keepdims=True)
        return ops.sum(_mean_over_samples(entropy))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable("kerasreg")
class ActivityKL(ActivityPenalty):
    """`factor * sum_j KL(rho || mean a_j)`: features with mean activation `rho` (Ng, 2011).

    For activations between 0 and 1, such as those of a sigmoid. `mean a_j` is the mean of feature
    `j` over the batch and all positions. `KL(rho || m) = rho log(rho / m) + (1 - rho) log((1 - rho)
    / (1 - m))` is 0 at `m = rho`. Activations are first clipped to [2^-23, 1 - 2^-23]; clipped ones
    have no gradient. Use batches of more than `1 / rho` samples.

    The layer adds the formula above to its losses. A direct call returns it times the batch size.
    It has no proximal operator: `ProximalGradient` leaves it in the loss, and its gradient trains
    the layer.

    Args:
        factor: finite float >= 0, the regularization factor.
        rho: float, the target mean activation, 0 < rho < 1.

    Raises:
        ValueError: if an argument is invalid, or if the activations have fewer than two axes.

    Example:

    >>> regularizer = kerasreg.regularizers.ActivityKL(1.0, rho=0.5)
    >>> float(regularizer(np.array([[0.25], [0.75]])))
    0.0
    """

    def __init__(self, factor: float = 0.01, rho: float = 0.05):
        super().__init__(factor)
        self.rho = validation.number(rho, "rho", above=0, below=1)

    def _mean(self, activations):
        clipped = ops.clip(activations, EPSILON, 1 - EPSILON)
        # Non-finite activations are not clipped, so that the loss shows them.
        clipped = ops.where(ops.isfinite(activations), clipped, activations)
        mean = _mean_over_samples(clipped)
        on = self.rho * ops.log(self.rho / mean)
        off = (1 - self.rho) * ops.log((1 - self.rho) / (1 - mean))
        return ops.sum(on + off)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "rho": self.rho}


def _mean_over_samples(x):
    """The mean over all axes but the last."""
    # Not `ops.mean`, which computes in float32 on torch.
    *samples, _ = ops.shape(x)
    return ops.sum(x, axis=tuple(range(len(samples)))) / ops.cast(math.prod(samples), x.dtype)
