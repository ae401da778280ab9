"""The prox of an optimizer whose steps all have one length, whatever the gradient: Lion.

A sign is no multiple of its gradient: under noise its mean is far less than one. The slope of the
penalty then belongs beside the gradient, inside of the sign, as in

    argmin  gradient * x + penalty(x)    over  |x - old| <= lr

With one weight and no noise in it, this is the optimizer's own step on loss and penalty. It is the
prox with a long step from `old`, cut off at `lr`. For any step, it leaves a weight where it is at
optima of the written objective, and nowhere else.
"""

import keras
from keras import ops

from kerasreg._proximal.step_sizes import float32
from kerasreg._train_step import sum_over_replicas

#: Where gradient and slope cancel but for this share of the gradient, steps become shorter.
_DAMPING = 0.5
_TINY = 1e-12


def takes_signs(optimizer):
    """Whether all steps of the optimizer have the length of its learning rate."""
    # A subclass with an update of its own has a step of its own.
    return getattr(type(optimizer), "update_step", None) is keras.optimizers.Lion.update_step


def mean_gradient(optimizer, index, variable, gradient):
    """The mean of the gradients, of which the coming step of the optimizer has the sign.

    It starts at zero. That does not change its sign, but how it compares with the penalty.
    """
    past = float32(optimizer._momentums[index])
    gradient = sum_over_replicas(optimizer, variable, gradient)
    mean = ops.add(optimizer.beta_1 * past, ops.multiply(gradient, 1.0 - optimizer.beta_1))
    missing = ops.power(float32(optimizer.beta_2), float32(optimizer.iterations))
    return float32(mean) / (1.0 - optimizer.beta_1 * missing)


def long_step(learning_rate, mean):
    """A step so long that without a penalty each weight moves by more than the learning rate."""
    return float32(learning_rate) / (_DAMPING * ops.maximum(ops.abs(mean), _TINY))
