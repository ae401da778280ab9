"""Composites: callbacks that contain other callbacks and call them."""

from collections.abc import Iterator

from keras.callbacks import Callback, CallbackList


def members(callback: Callback, others: list[Callback]) -> list[Callback]:
    """Returns the callbacks inside a composite, at any depth.

    They are found in its attributes, and in the containers among these.

    Args:
        callback: any callback. Other than `CallbackList`, those of Keras and kerasreg contain none.
        others: the callbacks of the fit. A reference to one of them does not make a composite.
    """
    return [each for each, _ in _walk(callback, {id(each) for each in [callback, *others]})]


def all_of(callbacks: list[Callback]) -> list[Callback]:
    """Returns the callbacks of a fit, each followed by those inside it."""
    return [each for outer in callbacks for each in [outer, *members(outer, callbacks)]]


def lists_around(callback: Callback, callbacks: list[Callback]) -> list[list]:
    """Returns the lists of the fit and of composites that contain a callback, outermost first.

    Other containers (attributes, tuples) are left out, because their order cannot be changed.
    """
    found = [callbacks]
    for outer in callbacks:
        if outer is not callback:
            for each, container in _walk(outer, {id(other) for other in [outer, *callbacks]}):
                is_around = each is callback or callback in members(each, callbacks)
                if is_around and isinstance(container, list) and container not in found:
                    found.append(container)
    return found


def stands_for(outer: Callback, callback: Callback, callbacks: list[Callback]) -> bool:
    """Returns whether `outer`, an element of the list of the fit, is or contains `callback`."""
    return outer is callback or callback in members(outer, callbacks)


def _walk(callback, seen) -> Iterator[tuple[Callback, object]]:
    """Yields `(callback, its container)` for all callbacks inside a composite."""
    if not _may_hold(callback):
        return
    for value in list(vars(callback).values()):
        inner = value.values() if isinstance(value, dict) else value
        is_container = isinstance(value, (dict, list, tuple, set))
        for each in list(inner) if is_container else [value]:
            if isinstance(each, Callback) and id(each) not in seen:
                seen.add(id(each))
                yield each, value
                yield from _walk(each, seen)


def _may_hold(callback):
    if isinstance(callback, CallbackList):
        return True
    packages = {cls.__module__.partition(".")[0] for cls in type(callback).__mro__}
    return "kerasreg" not in packages and not type(callback).__module__.startswith("keras.")
