"""The registry of what operations cost."""

import math
from collections.abc import Callable

_COSTS: dict[type, Callable] = {}
_NAMED: dict[tuple[str, str], Callable] = {}


class UnknownSizeError(ValueError):
    """A size that the graph leaves open."""


def cost_of(*classes: type) -> Callable:
    """Register what layers of these classes cost, and what inherits from them.

    The function gets `(call, shape)`: the `kerasreg.shrinking.Call`, and what gives the
    shape of a tensor, a variable or an array. It returns a number of floating-point operations,
    or None where that is unknown.

    Example:

    >>> class Mirrored(keras.layers.Layer):
    ...     def call(self, inputs):
    ...         return keras.ops.flip(inputs)
    >>> @kerasreg.shrinking.cost_of(Mirrored)
    ... def mirrored(call, shape):
    ...     return 0
    >>> kerasreg.flops(keras.Sequential([keras.Input((3,)), Mirrored(), keras.layers.Dense(2)]))
    14
    """

    def register(function):
        _COSTS.update(dict.fromkeys(classes, function))
        return function

    return register


def cost_of_classes(module, *names):
    """Register what the classes of these names cost, in modules that begin with `module`.

    For classes without a public place: Keras may move them, so nothing here imports them.
    """

    def register(function):
        _NAMED.update(dict.fromkeys([(module, name) for name in names], function))
        return function

    return register


def cost_of_ops(*names):
    """Register what operations of `keras.ops` cost: their classes have no public place."""
    return cost_of_classes("keras.src.ops.", *names)


def cost(call, shape):
    """The FLOPs of one call, or None."""
    try:
        return _function_of(call.operation)(call, shape)
    except Exception:  # A size is open, or a function of a user raises.
        return None


def unknown_costs(graph, shape):
    """`[why the FLOPs of an operation are unknown]`."""
    found = {}
    for call in graph.calls:
        operation, kind = call.operation, type(call.operation).__name__
        try:
            if _function_of(operation)(call, shape) is None:
                found[id(operation)] = (
                    f"no FLOP count is registered for '{operation.name}' ({kind}); see "
                    "`kerasreg.shrinking.cost_of`"
                )
        except UnknownSizeError:
            found[id(operation)] = f"'{operation.name}' has an open size: pass `input_shape`"
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            found[id(operation)] = f"the cost of '{operation.name}' ({kind}) raised {failure}"
    return list(found.values())


def costs(graph, shape):
    """`{id(operation): FLOPs of all of its calls, or None}`."""
    found = {}
    for call in graph.calls:
        each = cost(call, shape)
        key = id(call.operation)
        found[key] = each if key not in found else total([found[key], each])
    return found


def total(counts):
    """The sum, or None if one of them is None."""
    counts = list(counts)
    return None if None in counts else sum(counts)


def count(shape):
    """The number of elements."""
    return math.prod(shape)


def _function_of(operation):
    for cls in type(operation).__mro__:
        if cls in _COSTS:
            return _COSTS[cls]
    cls = type(operation)
    for (module, name), function in _NAMED.items():
        if cls.__name__ == name and cls.__module__.startswith(module):
            return function
    return _unknown


def _unknown(call, shape):
    return None
