"""The effective step size of each optimizer: what a prox has to be taken with.

It is the steady-state gain from a constant gradient to the step, with the preconditioner frozen.
`keras_steps.py` has the table for the optimizers of Keras; `register_step_size` adds others.

An optimizer that divides by the size of past gradients has no such gain for a weight that had no
gradient yet: its step size is as good as infinite, but its steps are not, because the gradient
cancels out. Their size is its `bound`, and the prox moves no weight further, see `within_reach`.
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
    """Tell kerasreg the effective step size of an optimizer (a decorator).

    The decorated function is `(optimizer, index, learning_rate)` -> step: a scalar, or one value
    per weight, for the optimizer's variable number `index`, right after its update. `index` is
    that of the optimizer's slots. If a constant gradient `g` moves a weight by `-t * g` when
    everything has settled (a preconditioner taken as it is), the step is `t`. It is traced into
    the compiled train step: compute it with `keras.ops`.

    A subclass that does not override `update_step` has the step of its parent.

    Args:
        optimizer_class: a subclass of `keras.optimizers.Optimizer`.
        before: a function `(optimizer, index, variable, gradient)` -> tuple of tensors that are
            needed from before the update; they follow as further arguments of the step's function.
            Under `tf.distribute` the gradient is the replica's part of it.
        momentum: whether the function leaves out the heavy-ball momentum `optimizer.momentum`
            (and `optimizer.nesterov`) of a velocity that contains the learning rate, as Keras'
            SGD and RMSprop have it. It is then added with `T_k = momentum * T_(k-1) + step`.
        approximate: why no step reaches the optimum of the written objective, for an optimizer
            that is served all the same; `ProximalGradient` warns with this sentence.
        bound: for an optimizer that divides by the size of past gradients, a function with the
            arguments of the decorated one: how far a gradient that stays the same moves a weight
            in one step, whatever its size (for Adam the learning rate). Without it, the prox sets
            weights that had no gradient yet to zero at once, because their step size is as good as
            infinite. With it, the prox moves a weight by no more than `bound` and the optimizer's
            own step together. No optimum depends on it.

    Raises:
        ValueError: for what is no optimizer class.

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
    """Say why an optimizer of Keras cannot be served, and what to use instead."""
    _REFUSALS[optimizer_name] = reason


def supported():
    """The names of the optimizers with a known effective step."""
    names = {cls.__name__ for cls in _TABLE if not cls.__module__.startswith("kerasreg.")}
    return sorted({*names, "AdamW"})


class StepSize:
    """The effective step sizes of one optimizer, read inside of its update.

    Args:
        optimizer: a built Keras optimizer, unwrapped.

    Raises:
        ValueError: for an optimizer whose effective step is unknown; it names those known.
    """

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._entry = _lookup(optimizer)
        momentum = getattr(optimizer, "momentum", None) if self._entry.momentum else None
        self.momentum = float(momentum or 0.0)
        self._nesterov = bool(getattr(optimizer, "nesterov", False))
        #: Why no step reaches the optimum of the written objective, or None.
        self.approximate = self._entry.approximate
        self.is_bounded = self._entry.bound is not None
        if self.momentum and getattr(optimizer, "centered", False):
            raise ValueError(
                "`RMSprop(centered=True)` with momentum divides by a variance that reaches zero, "
                "and momentum accumulates those steps: they have no bound. Received: "
                f"momentum={self.momentum}, centered=True. Use one of the two."
            )

    def gain_shape(self, variable):
        """The shape of the recursion `T` for a variable; None where none is needed."""
        if not self.momentum:
            return None
        return () if isinstance(self._optimizer, keras.optimizers.SGD) else tuple(variable.shape)

    def before(self, index, variable, gradient):
        """What `plain` needs from before the update."""
        if self._entry.before is None:
            return ()
        return tuple(self._entry.before(self._optimizer, index, variable, gradient))

    def plain(self, index, learning_rate, before=()):
        """The step for the optimizer's variable number `index`, without momentum."""
        return float32(
            self._entry.function(self._optimizer, index, float32(learning_rate), *before)
        )

    def bound(self, index, learning_rate, before=()):
        """How far a constant gradient of any size moves a weight in one step; None: no bound."""
        if not self.is_bounded:
            return None
        bound = self._entry.bound(self._optimizer, index, float32(learning_rate), *before)
        if bound is None or not self.momentum:
            return bound if bound is None else float32(bound)
        # The sum of the heavy ball, from its first step on.
        past = ops.power(float32(self.momentum), float32(self._optimizer.iterations + 1))
        return float32(bound) * (1.0 - past) / (1.0 - self.momentum)

    def with_momentum(self, step, gain):
        """`(step, new gain)` from the plain step and the recursion `T` so far."""
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
            return self.plain(index, gain)
        # A schedule is read at the raw iteration, which counts every micro-step.
        micro_steps = optimizer.gradient_accumulation_steps or 1
        gain = 0.0
        for step in range(done - memory, done):
            rate = schedule((step + 1) * micro_steps - 1)
            gain = self.momentum * gain + float(ops.convert_to_numpy(rate))
        return self.plain(index, gain)


def float32(x):
    """`x` as a float32 tensor: steps are computed in it, whatever the weights are."""
    return ops.cast(ops.convert_to_tensor(x), "float32")


def reach(old, new, bound):
    """How far the prox may move each weight: the optimizer's step from `old` to `new`, and `bound`.

    At an optimum the prox takes the optimizer's own step back, so no optimum moves. Nor is there a
    new one: a weight that is held back is moved by more than that step.
    """
    return ops.abs(float32(new) - float32(old)) + bound


def within_reach(old, new, proxed, bound):
    """`proxed`, but no weight further from `new` than its `reach`."""
    new, limit = float32(new), reach(old, new, bound)
    # Not `new + clip(proxed - new)`: what is within reach keeps its bits.
    return ops.cast(ops.clip(float32(proxed), new - limit, new + limit), proxed.dtype)


def _lookup(optimizer):
    for cls in type(optimizer).__mro__:
        if cls in _TABLE:
            return _TABLE[cls]
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
        f"Expected one of {supported()}, alone or in a LossScaleOptimizer or MultiOptimizer, or "
        "one that `kerasreg.register_step_size` was told about."
    )


def _optimizers():
    return keras.optimizers.Optimizer


def _steps_until(momentum, tolerance):
    steps, weight = 0, 1.0
    while weight > tolerance and steps < 20_000:
        steps, weight = steps + 1, weight * momentum
    return steps
