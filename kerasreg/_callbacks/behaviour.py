"""What a callback does in a fit, as far as the order of callbacks depends on it.

A callback declares it by attributes with these names, of its class or of its own:

- `changes_weights`: it may set weights. Unknown callbacks may.
- `prunes_weights`: it sets weights to zero. What saves or logs weights runs after it.
- `reads_logs`: it reads everything in the logs. A callback with a `monitor` reads that name.
- `restore_best_weights`: it sets earlier weights when the fit ends, as `EarlyStopping` does.

Keras' own callbacks declare nothing: a table says it for them.
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
    """Whether a callback reads one of these names in the logs."""
    return _declared(callback, "reads_logs", False) or getattr(callback, "monitor", None) in names


def restores_weights(callback: callbacks.Callback) -> bool:
    """Whether a callback sets earlier weights when the fit ends."""
    return bool(getattr(callback, "restore_best_weights", False))


def prunes_weights(callback: callbacks.Callback) -> bool:
    """Whether a callback sets weights to zero."""
    return bool(_declared(callback, "prunes_weights", False))


def only_reads(callback: callbacks.Callback, names: Collection[str]) -> bool:
    """Whether a callback reads one of these names in the logs, and sets no weights."""
    return reads_logs(callback, names) and not restores_weights(callback)


def may_change_weights(callback: callbacks.Callback, names: Collection[str]) -> bool:
    """Whether a callback may set weights; one that only reads these names does not."""
    is_harmless = not _declared(callback, "changes_weights", True)
    return not is_harmless and not only_reads(callback, names)


def _declared(callback: callbacks.Callback, name: str, default: bool) -> Any:
    if hasattr(callback, name):
        return getattr(callback, name)
    kinds = [row for kind, row in _OF_KERAS.items() if isinstance(callback, kind)]
    return kinds[0].get(name, default) if kinds else default
