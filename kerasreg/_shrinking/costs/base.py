"""The registry of the costs of operations."""

import math
from collections.abc import Callable

_COSTS: dict[type, Callable] = {}
_NAMED: dict[tuple[str, str], Callable] = {}


class UnknownSizeError(ValueError):
    """Raised for a size that is undefined (None) in the graph."""


def cost_of(*classes: type) -> Callable:
    """Registers the FLOPs of layers of these classes and their subclasses. A decorator.

    The decorated function is called as `function(call, shape)`. `call` is the
    `kerasreg.shrinking.Call` of a layer; `shape` is a function that returns the shape of a tensor,
    a variable or an array. It returns the number of floating-point operations of the call, or None
    if this is unknown.

    Args:
        *classes: layer classes.

    Returns:
        A decorator, which returns the function unchanged.

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
    """Registers the FLOPs of classes with these names, in modules that begin with `module`.

    This is for classes without a public name. Keras may move them, so they are not imported here.
    """

    def register(function):
        _NAMED.update(dict.fromkeys([(module, name) for name in names], function))
        return function

    return register


def cost_of_ops(*names):
    """Registers the FLOPs of operations of `keras.ops`, whose classes have no public name."""
    return cost_of_classes("keras.src.ops.", *names)


def cost(call, shape):
    """Returns the FLOPs of one call, or None if they are unknown."""
    try:
        return _function_of(call.operation)(call, shape)
    except Exception:  # A size is undefined, or a registered function raises.
        return None


def unknown_costs(graph, shape):
    """Returns a list of reasons, one for each operation with unknown FLOPs."""
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
            found[id(operation)] = f"'{operation.name}' has an undefined size: pass `input_shape`"
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            found[id(operation)] = f"the cost of '{operation.name}' ({kind}) raised {failure}"
    return list(found.values())


def costs(graph, shape):
    """Returns `{id(operation): FLOPs of all of its calls, or None}`."""
    found = {}
    for call in graph.calls:
        each = cost(call, shape)
        key = id(call.operation)
        found[key] = each if key not in found else total([found[key], each])
    return found


def total(counts):
    """Returns the sum, or None if one of the counts is None."""
    counts = list(counts)
    return None if None in counts else sum(counts)


def count(shape):
    """Returns the number of elements of a shape."""
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
