"""The properties of callbacks that determine their order in a fit.

A callback declares them as attributes of its class or of the instance:

- `changes_weights`: it may set weights. Default: True.
- `prunes_weights`: it sets weights to zero. Callbacks that save or log weights run after it.
- `reads_logs`: it reads all of the logs. A callback with a `monitor` reads that name only.
- `restore_best_weights`: it sets earlier weights at the end of the fit, as `EarlyStopping` does.

Keras' own callbacks do not declare these attributes; a table contains theirs.
"""

from collections.abc import Collection
from typing import Any

from keras import callbacks

_ONLY_READS = {"reads_logs": True, "changes_weights": False}

_OF_KERAS = {
    callbacks.CSVLogger: _ONLY_READS,
    callbacks.History: _ONLY_READS,
    callbacks.ProgbarLogger: _ONLY_READS,
    callbacks.RemoteMonitor: _ONLY_READS,
    callbacks.TensorBoard: _ONLY_READS,
}


def reads_logs(callback: callbacks.Callback, names: Collection[str]) -> bool:
    """Returns whether a callback reads one of these names in the logs."""
    return _declared(callback, "reads_logs", False) or getattr(callback, "monitor", None) in names


def restores_weights(callback: callbacks.Callback) -> bool:
    """Returns whether a callback sets earlier weights at the end of the fit."""
    return bool(getattr(callback, "restore_best_weights", False))


def prunes_weights(callback: callbacks.Callback) -> bool:
    """Returns whether a callback sets weights to zero."""
    return bool(_declared(callback, "prunes_weights", False))


def only_reads(callback: callbacks.Callback, names: Collection[str]) -> bool:
    """Returns whether a callback reads one of these names in the logs and restores no weights."""
    return reads_logs(callback, names) and not restores_weights(callback)


def may_change_weights(callback: callbacks.Callback, names: Collection[str]) -> bool:
    """Returns whether a callback may set weights; callbacks that only read these names do not."""
    is_harmless = not _declared(callback, "changes_weights", True)
    return not is_harmless and not only_reads(callback, names)


def _declared(callback: callbacks.Callback, name: str, default: bool) -> Any:
    if hasattr(callback, name):
        return getattr(callback, name)
    kinds = [row for kind, row in _OF_KERAS.items() if isinstance(callback, kind)]
    return kinds[0].get(name, default) if kinds else default
