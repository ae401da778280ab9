"""The effective step sizes of the optimizers of Keras.

In this table, `k = iterations + 1`. All values are those after the update, except the "old" ones:

    SGD                 lr
    Adam, AdamW         lr sqrt(1 - beta_2^k) / (sqrt(v) + epsilon), v the largest so far in AMSGrad
    Adamax              lr / (u + epsilon)
    Nadam               lr / (sqrt(v / (1 - beta_2^k)) + epsilon)
    Adagrad             lr / sqrt(accumulator + epsilon)
    Adadelta            lr sqrt(old delta + epsilon) / sqrt(accumulated gradient + epsilon)
    RMSprop             lr / sqrt(v [- mean gradient^2] + epsilon)
    Adafactor           alpha / (sqrt(v) max(1, rms(g / sqrt(v)) / clip)), alpha from the old w
    Lamb                ||old w|| / ||update|| lr / (sqrt(v / (1 - beta_2^k)) + epsilon)
    Lion                lr / max(|mean gradient|, its rms / 10); see `sign_steps.py`
    Muon                as Adam where it uses Adam; |new w - old w| / |mean gradient| for matrices
    momentum m          T_k = m T_(k-1) + the step above; Nesterov: m T_k + the step above

Most optimizers divide by the size of past gradients, so that the step for a constant gradient does
not depend on the size of the gradient. The length of this step is the bound:

    Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad    lr
    Adadelta                                        lr sqrt(old delta + epsilon)
    Adafactor                                       alpha min(1, clip)
    Lamb                                            lr rms(old w)
    Lion                                            lr before the first gradient, then lr / 10
    Muon                                            rms(new w - old w) for matrices
    momentum m                                      the bound above times 1 + m + m^2 + ...

The factor 1 / (1 - beta_1^k) of Adam corrects the estimate of the gradient and is not part of the
step. The velocity of momentum contains the learning rate. With a schedule, the recursion `T_k` is
therefore correct, and `lr / (1 - m)` is not.
"""

import math

import keras
from keras import ops

from kerasreg._proximal.registry import refuse, register_step_size
from kerasreg._proximal.step_sizes import float32
from kerasreg._train_step import sum_over_replicas

#: Avoids 0 / 0 for a weight without any gradient; its step size is then practically infinite.
_TINY = 1e-12

refuse(
    "Ftrl",
    "has a built-in proximal step, which would overwrite that of kerasreg; use its "
    "`l1_regularization_strength` instead of ProximalGradient",
)
refuse(
    "ScheduleFreeAdamW",
    "evaluates the average of its weights over many steps, and an average of sparse weights is "
    "dense; use AdamW with a decaying learning rate",
)


def _rate(optimizer, index, learning_rate):
    return learning_rate


def _mean_times_step(optimizer, index, step):
    mean = float32(optimizer._momentums[index]) / (1.0 - _power(optimizer, optimizer.beta_1))
    return mean * step


@register_step_size(keras.optimizers.SGD, momentum=True, is_shared=True)
def _sgd(optimizer, index, learning_rate):
    return learning_rate


@register_step_size(
    keras.optimizers.Adam,
    bound=_rate,
    is_shared=True,
    moves=_mean_times_step,
)
def _adam(optimizer, index, learning_rate):
    slots = optimizer._velocity_hats if optimizer.amsgrad else optimizer._velocities
    correction = ops.sqrt(1.0 - _power(optimizer, optimizer.beta_2))
    return learning_rate * correction / (ops.sqrt(float32(slots[index])) + optimizer.epsilon)


@register_step_size(keras.optimizers.Adamax, bound=_rate, is_shared=True)
def _adamax(optimizer, index, learning_rate):
    return learning_rate / (float32(optimizer._u[index]) + optimizer.epsilon)


@register_step_size(keras.optimizers.Nadam, bound=_rate, is_shared=True)
def _nadam(optimizer, index, learning_rate):
    velocity = float32(optimizer._velocities[index]) / (1.0 - _power(optimizer, optimizer.beta_2))
    return learning_rate / (ops.sqrt(velocity) + optimizer.epsilon)


@register_step_size(keras.optimizers.Adagrad, bound=_rate, is_shared=True)
def _adagrad(optimizer, index, learning_rate):
    return learning_rate / ops.sqrt(float32(optimizer._accumulators[index]) + optimizer.epsilon)


@register_step_size(
    keras.optimizers.RMSprop,
    momentum=True,
    bound=_rate,
    is_shared=True,
)
def _rmsprop(optimizer, index, learning_rate):
    variance = float32(optimizer._velocities[index])
    if optimizer.centered:
        variance = variance - ops.square(float32(optimizer._average_gradients[index]))
    return learning_rate / ops.sqrt(variance + optimizer.epsilon)


def _old_delta(optimizer, index, variable, gradient):
    return (_copy(optimizer._accumulated_delta_vars[index]),)


def _adadelta_bound(optimizer, index, learning_rate, old_delta):
    return learning_rate * ops.sqrt(old_delta + optimizer.epsilon)


@register_step_size(
    keras.optimizers.Adadelta,
    before=_old_delta,
    bound=_adadelta_bound,
    is_shared=True,
)
def _adadelta(optimizer, index, learning_rate, old_delta):
    gradients = float32(optimizer._accumulated_grads[index]) + optimizer.epsilon
    return learning_rate * ops.sqrt(old_delta + optimizer.epsilon) / ops.sqrt(gradients)


def _old_weights_and_gradient(optimizer, index, variable, gradient):
    return _copy(variable), float32(sum_over_replicas(optimizer, variable, gradient))


def _adafactor_bound(optimizer, index, learning_rate, old_weights, gradient):
    alpha = _adafactor_alpha(optimizer, learning_rate, old_weights)
    return alpha * min(1.0, optimizer.clip_threshold)


@register_step_size(
    keras.optimizers.Adafactor, before=_old_weights_and_gradient, bound=_adafactor_bound
)
def _adafactor(optimizer, index, learning_rate, old_weights, gradient):
    alpha = _adafactor_alpha(optimizer, learning_rate, old_weights)
    root = ops.sqrt(float32(optimizer._v[index]))
    clipped = ops.maximum(float32(1.0), _rms(gradient / root) / optimizer.clip_threshold)
    return alpha / (root * clipped)


def _adafactor_alpha(optimizer, learning_rate, old_weights):
    k = float32(optimizer.iterations + 1)
    scheduled = callable(optimizer._learning_rate)
    if optimizer.relative_step and not scheduled:
        learning_rate = ops.minimum(learning_rate, 1.0 / ops.sqrt(k))
    rate = ops.minimum(learning_rate, 1.0 / ops.sqrt(k))
    return ops.maximum(float32(optimizer.epsilon_2), _rms(old_weights)) * rate


def _old_norm(optimizer, index, variable, gradient):
    return (ops.sqrt(ops.sum(ops.square(float32(variable)))),)


def _lamb_bound(optimizer, index, learning_rate, old_norm):
    # The trust ratio if the update of every weight is 1.
    size = math.prod(optimizer._trainable_variables[index].shape)
    return learning_rate * old_norm / math.sqrt(size)


@register_step_size(
    keras.optimizers.Lamb,
    before=_old_norm,
    bound=_lamb_bound,
    is_shared=True,
)
def _lamb(optimizer, index, learning_rate, old_norm):
    mean = float32(optimizer._momentums[index]) / (1.0 - _power(optimizer, optimizer.beta_1))
    velocity = float32(optimizer._velocities[index]) / (1.0 - _power(optimizer, optimizer.beta_2))
    root = ops.sqrt(velocity) + optimizer.epsilon
    norm = ops.sqrt(ops.sum(ops.square(mean / root)))
    usual = ops.logical_and(old_norm > 0, norm > 0)
    ratio = ops.where(usual, old_norm / ops.where(usual, norm, 1.0), 1.0)
    return ratio * learning_rate / root


def _lion_bound(optimizer, index, learning_rate):
    # Steps are as long for noise as for a steady gradient. With a bound of `learning_rate`, noise
    # alone would let the prox set every weight with a small mean gradient to zero.
    seen = ops.abs(float32(optimizer._momentums[index])) > 0
    return learning_rate * ops.where(seen, 0.1, 1.0)


@register_step_size(keras.optimizers.Lion, bound=_lion_bound, is_shared=True)
def _lion(optimizer, index, learning_rate):
    # A sign is a gradient divided by its size: the two steps cancel where the mean gradient is as
    # large as the slope of the penalty. The rms limits the step where noise moves the mean to 0.
    mean = float32(optimizer._momentums[index])
    return learning_rate / (ops.maximum(ops.abs(mean), 0.1 * _rms(mean)) + _TINY)


def _old_weights(optimizer, index, variable, gradient):
    return (_copy(variable),)


def _muon_bound(optimizer, index, learning_rate, old_weights):
    variable = optimizer._trainable_variables[index]
    if optimizer._should_use_adamw(variable):
        return learning_rate * optimizer.adam_lr_ratio
    return _rms(old_weights - float32(variable))


@register_step_size(
    keras.optimizers.Muon,
    before=_old_weights,
    bound=_muon_bound,
    approximate="Muon orthogonalizes the gradients of matrices, so the effective step size of a "
    "single weight is approximate: zeros are exact, but the weights are only close to the optimum",
)
def _muon(optimizer, index, learning_rate, old_weights):
    variable = optimizer._trainable_variables[index]
    velocities, momentums = optimizer.adam_velocities, getattr(optimizer, "momentums", None)
    if momentums is None:  # Keras 3.10
        index, momentums = variable.path, optimizer.adam_momentums
    if not optimizer._should_use_adamw(variable):
        gradient = (1.0 - optimizer.momentum) * float32(momentums[index])
        return ops.abs(old_weights - float32(variable)) / (ops.abs(gradient) + _TINY)
    correction = ops.sqrt(1.0 - _power(optimizer, optimizer.adam_beta_2))
    root = ops.sqrt(float32(velocities[index])) + optimizer.epsilon
    return learning_rate * optimizer.adam_lr_ratio * correction / root


def _power(optimizer, beta):
    """Returns `beta^k`."""
    return ops.power(float32(beta), float32(optimizer.iterations + 1))


def _rms(x):
    return ops.sqrt(ops.mean(ops.square(x)))


def _copy(variable):
    # On torch, the tensor of a variable shares its memory.
    return ops.copy(float32(variable))
