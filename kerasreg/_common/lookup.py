"""Access to the entries of a report, by name or by position."""

from collections.abc import Mapping
from typing import TypeVar

from kerasreg._common.texts import nearest

_Entry = TypeVar("_Entry")


def look_up(entries: Mapping[str, _Entry], key: str | int, names: str) -> _Entry:
    """Returns an entry of a report.

    Args:
        entries: `{name or path: entry}`.
        key: a name or path, the end of exactly one path, or a position.
        names: what the keys of `entries` are, in the plural, for the error.

    Raises:
        KeyError: if no entry or several entries have this name.
        IndexError: for a position that is too large.

    >>> entries = {"net/first/kernel": 1, "net/last/kernel": 2}
    >>> look_up(entries, "first/kernel", "paths"), look_up(entries, 1, "paths")
    (1, 2)
    """
    if not isinstance(key, str):
        return list(entries.values())[key]
    if key in entries:
        return entries[key]
    found = [name for name in entries if name.endswith("/" + key)]
    if len(found) == 1:
        return entries[found[0]]
    if found:
        raise KeyError(f"{key!r} is the end of {len(found)} {names}, pass more of one: {found}")
    raise KeyError(f"{key!r} is not one of the {names}; {nearest(key, entries, names)}")
