"""Penalties of activations, for `activity_regularizer=`: they have a gradient only."""

import math
from typing import Any

import keras
from keras import ops

from kerasreg._common import validation
from kerasreg.regularizers.base import Penalty, absolute

#: How near to 0 and 1 an activation counts; exact in float32, and so is 1 minus it.
EPSILON = 2.0**-23


class ActivityPenalty(Penalty):
    """A penalty of a batch of activations, `(batch, ..., features)`: the batch size times a mean.

    Keras divides what an `activity_regularizer` returns by the batch size, so it is the mean that
    reaches the loss. (Early versions of Keras 3 do not divide, against their documentation, until
    keras#22021.)
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
    """`factor * mean H(p)`: every sample activates few features (for `activity_regularizer=`).

    `H(p) = -sum_j p_j log p_j` is the entropy of the activations of one sample (and one position),
    read as a distribution over the last axis: 0 when one feature has it all, `log(features)` when
    all have the same (Grandvalet & Bengio, 2004). Nothing active, nothing to distribute: 0.

    The layer adds the mean over the batch and all positions to its losses; called directly, the
    penalty is that times the batch size. Has no prox: `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.
        from_logits: True for `p = softmax(activations)`; False for `p_j = |a_j| / sum |a|`, which
            leaves probabilities as they are and serves activations of any scale, such as ReLU's.

    Raises:
        ValueError: for a bad argument, and for activations without a batch axis.

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
            # The slope of p log p is infinite at 0; what is not active shall not become so.
            logs = ops.log(ops.where(shares == 0, ops.ones_like(shares), shares))
        entropy = 0.0 - ops.sum(shares * logs, axis=-1, keepdims=True)
        return ops.sum(_mean_over_samples(entropy))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable("kerasreg")
class ActivityKL(ActivityPenalty):
    """`factor * sum_j KL(rho || mean a_j)`: every feature is rarely active (Ng, 2011).

    For activations from 0 to 1, such as sigmoid's. The mean is that of feature j over the batch and
    all positions, and `KL(rho || m) = rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m))`, which
    is 0 at `m = rho`. Activations are clipped to [2^-23, 1 - 2^-23] first; beyond, they have no
    gradient. Use batches of more than `1 / rho` samples.

    The layer adds the formula above to its losses; called directly, the penalty is that times the
    batch size. Has no prox: `ProximalGradient` leaves it its gradient.

    Args:
        factor: finite and >= 0.
        rho: the mean activation that is wanted, between 0 and 1.

    Raises:
        ValueError: for a bad argument, and for activations without a batch axis.

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
        # What is infinite stays visible.
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
