"""The effective step size of each Keras optimizer: the one table that knows optimizers.

A prox has to be taken with the step that the optimizer really makes: the steady-state gain from a
constant gradient to the step, with the preconditioner frozen. With `k = iterations + 1`:

    SGD                 lr
    Adam, AdamW         lr sqrt(1 - beta_2^k) / (sqrt(v) + epsilon), v the largest so far in AMSGrad
    Adamax              lr / (u + epsilon)
    Nadam               lr / (sqrt(v / (1 - beta_2^k)) + epsilon)
    Adagrad             lr / sqrt(accumulator + epsilon)
    RMSprop             lr / sqrt(v [- mean gradient^2] + epsilon)
    momentum m          T_k = m T_(k-1) + the step above; Nesterov: m T_k + the step above

The factor 1 / (1 - beta_1^k) of Adam corrects the estimate of the gradient and is not part of the
step. Momentum keeps the learning rate inside of its velocity, so under a schedule only the
recursion `T_k` is right, not `lr / (1 - m)`.
"""

import keras
from keras import ops

STEP_SIZES = {}

_REFUSALS = {
    "Ftrl": "has a proximal step of its own, which would overwrite ours; "
    "use its `l1_regularization_strength` instead of a callback",
    "ScheduleFreeAdamW": "trains weights that are an average, and an average of sparse weights is "
    "dense",
    "Lion": "makes steps of one size whatever the gradient, so no step size reaches the written "
    "objective",
    "MultiOptimizer": "is not supported yet",
}


def _step_size(optimizer_class):
    def register(function):
        STEP_SIZES[optimizer_class] = function
        return function

    return register


@_step_size(keras.optimizers.SGD)
def _sgd(optimizer, index, learning_rate):
    return learning_rate


@_step_size(keras.optimizers.Adam)
def _adam(optimizer, index, learning_rate):
    slots = optimizer._velocity_hats if optimizer.amsgrad else optimizer._velocities
    correction = ops.sqrt(1.0 - _beta_2_power(optimizer))
    return learning_rate * correction / (ops.sqrt(_float32(slots[index])) + optimizer.epsilon)


@_step_size(keras.optimizers.Adamax)
def _adamax(optimizer, index, learning_rate):
    return learning_rate / (_float32(optimizer._u[index]) + optimizer.epsilon)


@_step_size(keras.optimizers.Nadam)
def _nadam(optimizer, index, learning_rate):
    velocity = _float32(optimizer._velocities[index]) / (1.0 - _beta_2_power(optimizer))
    return learning_rate / (ops.sqrt(velocity) + optimizer.epsilon)


@_step_size(keras.optimizers.Adagrad)
def _adagrad(optimizer, index, learning_rate):
    return learning_rate / ops.sqrt(_float32(optimizer._accumulators[index]) + optimizer.epsilon)


@_step_size(keras.optimizers.RMSprop)
def _rmsprop(optimizer, index, learning_rate):
    variance = _float32(optimizer._velocities[index])
    if optimizer.centered:
        variance = variance - ops.square(_float32(optimizer._average_gradients[index]))
    return learning_rate / ops.sqrt(variance + optimizer.epsilon)


class StepSize:
    """The effective step sizes of one optimizer, read inside of its update.

    Args:
        optimizer: a built Keras optimizer, unwrapped.

    Raises:
        ValueError: for an optimizer whose effective step is unknown; it names those known.
    """

    def __init__(self, optimizer):
        self._plain = _lookup(optimizer)
        self.momentum = float(getattr(optimizer, "momentum", 0.0) or 0.0)
        self._nesterov = bool(getattr(optimizer, "nesterov", False))
        if self.momentum and getattr(optimizer, "centered", False):
            raise ValueError(
                "`RMSprop(centered=True)` with momentum divides by a variance that reaches zero, "
                "and momentum accumulates those steps: they have no bound. Received: "
                f"momentum={self.momentum}, centered=True. Use one of the two."
            )
        self._optimizer = optimizer

    def gain_shape(self, variable):
        """The shape of the recursion `T` for a variable; None where none is needed."""
        if not self.momentum:
            return None
        return () if isinstance(self._optimizer, keras.optimizers.SGD) else tuple(variable.shape)

    def __call__(self, index, learning_rate, gain=None):
        """`(step, new gain)` for the optimizer's variable number `index`, after its update."""
        step = self._plain(self._optimizer, index, _float32(learning_rate))
        if not self.momentum:
            return step, None
        gain = self.momentum * gain + step
        return (self.momentum * gain + step if self._nesterov else gain), gain

    def settled_gain(self, index):
        """`T` after the optimizer's past iterations, for a training that goes on.

        Exact for a constant learning rate and for a schedule under SGD; under RMSprop it takes
        the present preconditioner for the past one.
        """
        optimizer = self._optimizer
        done = int(ops.convert_to_numpy(optimizer.iterations))
        schedule = optimizer._learning_rate
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        # Older steps than this weigh less than float32 can tell.
        memory = min(done, _steps_until(self.momentum, 1e-9))
        if not scheduled:
            rate = float(ops.convert_to_numpy(optimizer.learning_rate))
            gain = rate * (1.0 - self.momentum**memory) / (1.0 - self.momentum)
            return self._plain(optimizer, index, gain)
        # A schedule is read at the raw iteration, which counts every micro-step.
        micro_steps = optimizer.gradient_accumulation_steps or 1
        gain = 0.0
        for step in range(done - memory, done):
            rate = schedule((step + 1) * micro_steps - 1)
            gain = self.momentum * gain + float(ops.convert_to_numpy(rate))
        return self._plain(optimizer, index, gain)


def supported():
    """The names of the optimizers with a known effective step."""
    return sorted({*(cls.__name__ for cls in STEP_SIZES), "AdamW"})


def _lookup(optimizer):
    for cls in type(optimizer).__mro__:
        if cls in STEP_SIZES:
            return STEP_SIZES[cls]
        # A subclass that updates in its own way has a step of its own; Keras' are known.
        own_update = {"update_step", "apply"} & set(vars(cls))
        if own_update and not cls.__module__.startswith("keras."):
            break
        if cls.__name__ in _REFUSALS:
            break
    name = type(optimizer).__name__
    reason = _REFUSALS.get(name, "has an effective step size that kerasreg does not know")
    raise ValueError(
        f"Proximal training does not work with the optimizer {name}: it {reason}. "
        f"Expected one of {supported()}, or a LossScaleOptimizer around one."
    )


def _beta_2_power(optimizer):
    return ops.power(_float32(optimizer.beta_2), _float32(optimizer.iterations + 1))


def _float32(x):
    return ops.cast(ops.convert_to_tensor(x), "float32")


def _steps_until(momentum, tolerance):
    steps, weight = 0, 1.0
    while weight > tolerance and steps < 20_000:
        steps, weight = steps + 1, weight * momentum
    return steps
