"""The other callbacks of the same `fit`."""

import sys

import keras

_READERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)


def callback_list(callback):
    """The `CallbackList` that is calling `callback` right now, or None.

    Keras gives a callback its model and no way to the other callbacks, so this reads who calls.
    """
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and callback in caller.callbacks:
            return caller
        frame = frame.f_back
    return None


def run_after(callback, depends):
    """Move the callbacks for which `depends` is true behind `callback`; returns all of them.

    Keras is iterating over the old list, so the new order holds from the next event on.
    """
    owner = callback_list(callback)
    if owner is None:
        return []
    position = owner.callbacks.index(callback)
    before, after = owner.callbacks[:position], owner.callbacks[position + 1 :]
    early = [each for each in before if depends(each)]
    if early:
        rest = [each for each in before if each not in early]
        owner.callbacks = [*rest, callback, *early, *after]
    return owner.callbacks


def put_off(callback, until, together_with=lambda each: False):
    """In `on_train_end`: come again after all for which `until` is true; returns whether.

    Those for which `together_with` is true come after `callback`, as they did before. Keras is
    iterating over this very list and meets the callback a second time.
    """
    owner = callback_list(callback)
    if owner is None:
        return False
    callbacks = owner.callbacks
    here = len(callbacks) - callbacks[::-1].index(callback)
    ends = [index for index in range(here, len(callbacks)) if until(callbacks[index])]
    if not ends:
        return False
    between = callbacks[here : ends[-1] + 1]
    behind = [each for each in between if together_with(each)]
    before = [each for each in between if not together_with(each)]
    callbacks[here : ends[-1] + 1] = [*before, callback, *behind]
    return True


def reads_logs(callback, names):
    """Whether a callback reads these numbers in the logs that it is given."""
    return isinstance(callback, _READERS) or getattr(callback, "monitor", None) in names


def restores_weights(callback):
    """Whether a callback sets the weights of the model when the fit ends (`EarlyStopping`)."""
    return bool(getattr(callback, "restore_best_weights", False))


def prunes(callback):
    """Whether a callback sets weights to zero: those that save or log must come behind it."""
    return getattr(callback, "prunes_weights", False)
