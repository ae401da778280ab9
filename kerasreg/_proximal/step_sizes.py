"""The effective step sizes of optimizers, with which proximal operators are applied.

The effective step size is the steady-state gain from a constant gradient to the step, with a fixed
preconditioner. `keras_steps.py` has the table for the optimizers of Keras; `register_step_size`
adds others.

If an optimizer divides by the size of past gradients, the effective step size is practically
infinite for a weight that has had no gradient yet. The steps themselves are finite, because the
size of the gradient cancels. Their length is the `bound`, which limits the proximal operator: see
`within_reach`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class _Entry:
    function: Callable
    before: Callable | None
    momentum: bool
    approximate: str | None
    bound: Callable | None


_TABLE: dict[type, _Entry] = {}
_REFUSALS: dict[str, str] = {}


def register_step_size(
    optimizer_class: type[keras.optimizers.Optimizer],
    *,
    before: Callable | None = None,
    momentum: bool = False,
    approximate: str | None = None,
    bound: Callable | None = None,
) -> Callable[[Callable], Callable]:
    """Registers the effective step size of an optimizer class (a decorator).

    The decorated function has the arguments `(optimizer, index, learning_rate)`. It is called right
    after the update of a variable, whose slots in the optimizer have the index `index`. It returns
    the effective step size as a tensor: a scalar, or one value per weight. The effective step size
    is the `t` for which a constant gradient `g` moves a weight by `-t * g` per step in the steady
    state, with a fixed preconditioner. The function is part of the compiled train step, so it must
    use `keras.ops`.

    Subclasses that override neither `update_step` nor `apply` have the step size of their parent.

    Args:
        optimizer_class: a subclass of `keras.optimizers.Optimizer`.
        before: function `(optimizer, index, variable, gradient)` that returns a tuple of tensors
            from before the update. They are passed to the decorated function, and to `bound`, as
            additional arguments. Under `tf.distribute`, `gradient` is the part of one replica.
        momentum: bool, whether to add heavy-ball momentum to the step size:
            `T_k = momentum * T_(k-1) + step`, with the `momentum` and `nesterov` of the optimizer.
            Use it if the velocity contains the learning rate, as in Keras' SGD and RMSprop, and the
            decorated function does not include momentum.
        approximate: str, the reason why the optimum of the objective is only reached approximately,
            without a final period. `ProximalGradient` warns with it.
        bound: function with the arguments of the decorated function, for an optimizer that divides
            by the size of past gradients. It returns how far a constant gradient of any size moves
            a weight in one step (for Adam, the learning rate). The proximal operator then moves a
            weight by at most `bound` plus the length of the optimizer's own step. Without `bound`,
            weights that have had no gradient yet become zero at once, because their effective step
            size is practically infinite. `bound` does not change the optimum.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ValueError: if `optimizer_class` is not a subclass of `keras.optimizers.Optimizer`.

    Example:

    >>> class HalfSGD(keras.optimizers.Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         self.assign_sub(variable, 0.5 * learning_rate * gradient)
    >>> @kerasreg.register_step_size(HalfSGD)
    ... def half_sgd(optimizer, index, learning_rate):
    ...     return 0.5 * learning_rate
    """
    if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, _optimizers())):
        raise ValueError(
            "`register_step_size` expects a subclass of `keras.optimizers.Optimizer`. Received: "
            f"{optimizer_class!r}"
        )

    def register(function):
        _TABLE[optimizer_class] = _Entry(function, before, momentum, approximate, bound)
        return function

    return register


def refuse(optimizer_name, reason):
    """Registers why an optimizer of Keras is not supported, and what to use instead."""
    _REFUSALS[optimizer_name] = reason


def supported():
    """Returns the names of the optimizers with a known effective step size."""
    names = {cls.__name__ for cls in _TABLE if not cls.__module__.startswith("kerasreg.")}
    return sorted({*names, "AdamW"})


class StepSize:
    """The effective step sizes of one optimizer, computed inside its update.

    Args:
        optimizer: a built Keras optimizer, unwrapped.

    Raises:
        ValueError: if the effective step size of the optimizer is unknown, or has no bound.
    """

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._entry = _lookup(optimizer)
        momentum = getattr(optimizer, "momentum", None) if self._entry.momentum else None
        self.momentum = float(momentum or 0.0)
        self._nesterov = bool(getattr(optimizer, "nesterov", False))
        #: The reason why the optimum is only reached approximately, or None.
        self.approximate = self._entry.approximate
        self.is_bounded = self._entry.bound is not None
        if self.momentum and getattr(optimizer, "centered", False):
            raise ValueError(
                "`RMSprop(centered=True)` with momentum is not supported: it divides by a variance "
                "that can reach zero, and momentum accumulates these unbounded steps. Received: "
                f"momentum={self.momentum}, centered=True. Use either `momentum` or `centered`."
            )

    def gain_shape(self, variable):
        """Returns the shape of the recursion `T` for a variable, or None without momentum."""
        if not self.momentum:
            return None
        return () if isinstance(self._optimizer, keras.optimizers.SGD) else tuple(variable.shape)

    def before(self, index, variable, gradient):
        """Returns the values from before the update that `plain` and `bound` need."""
        if self._entry.before is None:
            return ()
        return tuple(self._entry.before(self._optimizer, index, variable, gradient))

    def plain(self, index, learning_rate, before=()):
        """Returns the step size for the optimizer's variable number `index`, without momentum."""
        return float32(
            self._entry.function(self._optimizer, index, float32(learning_rate), *before)
        )

    def bound(self, index, learning_rate, before=()):
        """Returns how far a constant gradient moves a weight in one step, or None for no bound."""
        if not self.is_bounded:
            return None
        bound = self._entry.bound(self._optimizer, index, float32(learning_rate), *before)
        if bound is None or not self.momentum:
            return bound if bound is None else float32(bound)
        # 1 + m + m^2 + ... over the steps so far.
        past = ops.power(float32(self.momentum), float32(self._optimizer.iterations + 1))
        return float32(bound) * (1.0 - past) / (1.0 - self.momentum)

    def with_momentum(self, step, gain):
        """Returns `(step, new gain)` from the plain step and the previous value of `T`."""
        gain = self.momentum * gain + step
        return (self.momentum * gain + step if self._nesterov else gain), gain

    def settled_gain(self, index):
        """Returns `T` after the past iterations of the optimizer, to continue a training.

        With SGD, it is exact for a constant learning rate and for a schedule. With RMSprop, the
        current preconditioner is used for the past iterations.
        """
        optimizer = self._optimizer
        done = int(ops.convert_to_numpy(optimizer.iterations))
        schedule = optimizer._learning_rate
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        # Older steps contribute less than the precision of float32.
        memory = min(done, _steps_until(self.momentum, 1e-9))
        if not scheduled:
            rate = float(ops.convert_to_numpy(optimizer.learning_rate))
            gain = rate * (1.0 - self.momentum**memory) / (1.0 - self.momentum)
            return self.plain(index, gain)
        # Keras evaluates schedules at the raw iteration, which counts every micro-step.
        micro_steps = optimizer.gradient_accumulation_steps or 1
        gain = 0.0
        for step in range(done - memory, done):
            rate = schedule((step + 1) * micro_steps - 1)
            gain = self.momentum * gain + float(ops.convert_to_numpy(rate))
        return self.plain(index, gain)


def float32(x):
    """Returns `x` as a float32 tensor. Steps are computed in float32 for weights of any dtype."""
    return ops.cast(ops.convert_to_tensor(x), "float32")


def reach(old, new, bound):
    """Returns how far the prox may move each weight: `|new - old| + bound`.

    This does not change the optima. At an optimum, the prox undoes the optimizer's step from `old`
    to `new`, which is within reach. A weight that is limited moves by more than that step, so it
    does not return to `old`.
    """
    return ops.abs(float32(new) - float32(old)) + bound


def within_reach(old, new, proxed, bound):
    """Returns `proxed`, with each weight moved from `new` by at most its `reach`."""
    new, limit = float32(new), reach(old, new, bound)
    # Unlike `new + clip(proxed - new)`, this does not round the weights that are within reach.
    return ops.cast(ops.clip(float32(proxed), new - limit, new + limit), proxed.dtype)


def _lookup(optimizer):
    for cls in type(optimizer).__mro__:
        if cls in _TABLE:
            return _TABLE[cls]
        # A subclass that overrides the update may have another step size; those of Keras are known.
        own_update = {"update_step", "apply"} & set(vars(cls))
        if own_update and not cls.__module__.startswith("keras."):
            break
        if cls.__name__ in _REFUSALS:
            break
    name = type(optimizer).__name__
    reason = _REFUSALS.get(name, "has an unknown effective step size")
    raise ValueError(
        f"Proximal training does not work with the optimizer {name}: it {reason}. "
        f"Expected one of {supported()}, alone or in a LossScaleOptimizer or MultiOptimizer, or "
        "one that was registered with `kerasreg.register_step_size`."
    )


def _optimizers():
    return keras.optimizers.Optimizer


def _steps_until(momentum, tolerance):
    steps, weight = 0, 1.0
    while weight > tolerance and steps < 20_000:
        steps, weight = steps + 1, weight * momentum
    return steps
