"""The effective step sizes of optimizers, with which proximal operators are applied.

The effective step size is the steady-state gain from a constant gradient to the step, with a fixed
preconditioner. `keras_steps.py` has the table for the optimizers of Keras; `register_step_size`
adds others.

If an optimizer divides by the size of past gradients, the effective step size is practically
infinite for a weight that has had no gradient yet. The steps themselves are finite, because the
size of the gradient cancels. Their length is the `bound`, which limits the proximal operator: see
`within_reach`.
"""

import copy
from types import SimpleNamespace

import keras
from keras import ops

from kerasreg._proximal.registry import lookup


class StepSize:
    """The effective step sizes of one optimizer, computed inside its update.

    Args:
        optimizer: a built Keras optimizer, unwrapped.

    Raises:
        ValueError: if the effective step size of the optimizer is unknown, or has no bound.
    """

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._entry = lookup(optimizer)
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

    @property
    def is_shared(self):
        """Whether variables of one shape can share one compiled function."""
        return self._entry.is_shared

    @property
    def key(self):
        """A hashable value that determines the function of a shared step."""
        return self._entry, tuple(sorted(self._numbers().items()))

    def slots(self, index):
        """Returns the values that a shared step is computed from, by name; None if not shared."""
        if not self.is_shared:
            return None
        lists = {k: v for k, v in vars(self._optimizer).items() if isinstance(v, list)}
        found = {k: v[index] for k, v in lists.items() if len(v) > index}
        slots = {k: v for k, v in found.items() if isinstance(v, keras.Variable)}
        slots.pop("_variables", None)  # All of them, in another order.
        return {"iterations": self._optimizer.iterations, **slots}

    def detached(self):
        """Returns a copy for `at`, without the variables of the optimizer."""
        twin = copy.copy(self)
        twin._optimizer = SimpleNamespace(**self._numbers())
        return twin

    def at(self, slots):
        """Returns the step sizes of the variable with these slots, which gets index 0."""
        twin = self.detached()
        twin._optimizer.iterations = slots["iterations"]
        for name in slots.keys() - {"iterations"}:
            setattr(twin._optimizer, name, [slots[name]])
        return twin

    def _numbers(self):
        numbers = bool, int, float
        return {k: v for k, v in vars(self._optimizer).items() if isinstance(v, numbers)}

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

    @property
    def knows_moves(self):
        """Whether `moves` works without the old weights."""
        return self._entry.moves is not None

    def moves(self, index, step):
        """Returns `old weights - new weights` of the optimizer's step, given its step size."""
        return float32(self._entry.moves(self._optimizer, index, step))

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


def reach(moves, bound):
    """Returns how far the prox may move each weight: `|moves| + bound`.

    This does not change the optima. At an optimum, the prox undoes `moves`, the optimizer's step,
    which is within reach. A weight that is limited moves by more than that step, so it does not
    return to its old value.
    """
    return ops.abs(moves) + bound


def within_reach(new, proxed, moves, bound):
    """Returns `proxed`, with each weight moved from `new` by at most its `reach`."""
    new, limit = float32(new), reach(moves, bound)
    # Unlike `new + clip(proxed - new)`, this does not round the weights that are within reach.
    return ops.cast(ops.clip(float32(proxed), new - limit, new + limit), proxed.dtype)


def _steps_until(momentum, tolerance):
    steps, weight = 0, 1.0
    while weight > tolerance and steps < 20_000:
        steps, weight = steps + 1, weight * momentum
    return steps
