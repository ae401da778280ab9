"""The table of effective step sizes: one entry for each optimizer class."""

from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Entry:
    function: Callable
    before: Callable | None
    momentum: bool
    approximate: str | None
    bound: Callable | None
    is_shared: bool
    moves: Callable | None


_TABLE: dict[type, Entry] = {}
_REFUSALS: dict[str, str] = {}


def register_step_size(
    optimizer_class: type[keras.optimizers.Optimizer],
    *,
    before: Callable | None = None,
    momentum: bool = False,
    approximate: str | None = None,
    bound: Callable | None = None,
    is_shared: bool = False,
    moves: Callable | None = None,
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
        is_shared: bool, whether the functions use nothing of the optimizer but its numbers,
            `iterations`, and the element `index` of lists of variables. Then all variables of one
            shape share one compiled function, and get an object with these attributes in place of
            the optimizer.
        moves: function `(optimizer, index, step)` that returns `old weights - new weights` of the
            optimizer's own step from its state, given the step size. Without it, the old weights
            are copied if they are needed.

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
        _TABLE[optimizer_class] = Entry(
            function, before, momentum, approximate, bound, is_shared, moves
        )
        return function

    return register


def refuse(optimizer_name, reason):
    """Registers why an optimizer of Keras is not supported, and what to use instead."""
    _REFUSALS[optimizer_name] = reason


def supported():
    """Returns the names of the optimizers with a known effective step size."""
    names = {cls.__name__ for cls in _TABLE if not cls.__module__.startswith("kerasreg.")}
    return sorted({*names, "AdamW"})


def lookup(optimizer):
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
