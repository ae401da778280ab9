"""The proximal step for Lion, whose steps have the same length for every gradient.

A sign is not proportional to its gradient: with noise, the mean of the signs is much smaller than
1. The slope of the penalty is therefore added to the gradient inside the sign function:

    argmin_x  gradient * x + penalty(x)    over  |x - old| <= lr

For a single weight without noise, this is the optimizer's own step on the sum of loss and penalty.
It is computed as a proximal step from `old` with a long step size, limited to `lr`. For every step
size, its fixed points are the optima of the objective.
"""

import keras
from keras import ops

from kerasreg._proximal.step_sizes import float32
from kerasreg._train_step import sum_over_replicas

#: Steps are shorter than the learning rate where `|gradient + slope of the penalty|` is less than
#: this fraction of `|gradient|`.
_DAMPING = 0.5
_TINY = 1e-12


def takes_signs(optimizer):
    """Returns whether all steps of the optimizer have the length of its learning rate."""
    # A subclass that overrides the update may have other steps.
    return getattr(type(optimizer), "update_step", None) is keras.optimizers.Lion.update_step


def mean_gradient(optimizer, index, variable, gradient):
    """Returns the mean gradient, whose sign gives the next step of the optimizer.

    The mean of the optimizer starts at zero. This is corrected here, because the size of the mean
    is compared with the penalty.
    """
    past = float32(optimizer._momentums[index])
    gradient = sum_over_replicas(optimizer, variable, gradient)
    mean = ops.add(optimizer.beta_1 * past, ops.multiply(gradient, 1.0 - optimizer.beta_1))
    missing = ops.power(float32(optimizer.beta_2), float32(optimizer.iterations))
    return float32(mean) / (1.0 - optimizer.beta_1 * missing)


def long_step(learning_rate, mean):
    """Returns a step size that moves weights without a penalty by twice the learning rate."""
    return float32(learning_rate) / (_DAMPING * ops.maximum(ops.abs(mean), _TINY))
