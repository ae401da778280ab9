"""The other callbacks of the same `fit`, and their order."""

from kerasreg._callbacks.composites import all_of, lists_around, members, stands_for
from kerasreg._train_step.frames import calling_lists


def callback_list(callback):
    """Returns the `CallbackList` that is currently calling `callback`, or None.

    A callback inside a composite belongs to the list that contains the composite.
    """
    found = callback
    for each in calling_lists():
        # Further lists must contain the first one: others are of an outer `fit`.
        if each is not found and any(stands_for(c, found, each.callbacks) for c in each.callbacks):
            found = each
    return None if found is callback else found


def run_after(callback, depends):
    """Moves the callbacks for which `depends` is true behind `callback`.

    A composite moves if `depends` is true for a callback inside it. Inside composites, callbacks in
    lists are moved; others keep their order. Keras is iterating over the list and continues behind
    `callback`, so the new order holds from the next event on.

    Returns:
        All callbacks of the fit, including those inside composites.
    """
    owner = callback_list(callback)
    if owner is None:
        return []
    callbacks = owner.callbacks
    for each in lists_around(callback, callbacks):
        _move_behind(each, callback, callbacks, depends)
    return all_of(callbacks)


def _move_behind(callbacks, callback, siblings, depends):
    here = _place_of(callback, callbacks, siblings)
    before, after = callbacks[:here], callbacks[here + 1 :]
    early = [each for each in before if _any(depends, each, siblings)]
    rest = [each for each in before if each not in early]
    callbacks[:] = [*rest, callbacks[here], *early, *after]


def put_off(callback, until, together_with=lambda each: False):
    """Re-queues `callback`, in `on_train_end`, behind all later ones for which `until` is true.

    Those for which `together_with` is true stay behind `callback`. Keras is iterating over the list
    and therefore calls `callback` a second time, directly if it is inside a composite.

    Returns:
        Whether `callback` will be called again.
    """
    owner = callback_list(callback)
    if owner is None:
        return False
    callbacks = owner.callbacks
    if callback in callbacks:
        here = len(callbacks) - callbacks[::-1].index(callback)
        ends = [
            index
            for index in range(here, len(callbacks))
            if _any(until, callbacks[index], callbacks)
        ]
    else:
        composite = _place_of(callback, callbacks, callbacks)
        here = composite + 1
        inside = [e for e in members(callbacks[composite], callbacks) if e is not callback]
        ends = [composite] if any(map(until, inside)) else []
        ends += [i for i in range(here, len(callbacks)) if _any(until, callbacks[i], callbacks)]
    if not ends:
        return False
    between = callbacks[here : ends[-1] + 1]
    # A composite may contain callbacks of both kinds; then `callback` runs after it.
    behind = [
        each
        for each in between
        if _any(together_with, each, callbacks) and not _any(until, each, callbacks)
    ]
    before = [each for each in between if each not in behind]
    callbacks[here : ends[-1] + 1] = [*before, callback, *behind]
    return True


def _place_of(callback, callbacks, siblings):
    """Returns the index of a callback, or of the composite that contains it, in a list."""
    if callback in callbacks:
        return callbacks.index(callback)
    return next(i for i, each in enumerate(callbacks) if stands_for(each, callback, siblings))


def _any(function, callback, siblings):
    return any(map(function, [callback, *members(callback, siblings)]))
