"""Validation of arguments.

Each function returns a plain Python value, or raises a `ValueError` in one common format. Numbers
may be those of Python or NumPy, or scalar tensors. Bools, strings, NaN and infinity are rejected.
"""

import math
import numbers
import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np

_T = TypeVar("_T")


def invalid(name: str, value: Any, expected: str) -> ValueError:
    """Returns the error for an invalid argument, to be raised by the caller.

    >>> raise invalid("axis", 1.5, "an int")
    Traceback (most recent call last):
    ValueError: `axis` must be an int. Received: axis=1.5
    """
    return ValueError(f"`{name}` must be {expected}. Received: {name}={_excerpt(value)}")


def number(
    value: Any,
    name: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    meaning: str | None = None,
    none: str | None = None,
) -> Any:
    """Returns a finite number in a range, as a float.

    Args:
        value: the value of the argument.
        name: the name of the argument.
        at_least, above, at_most, below: the bounds.
        meaning: the meaning of the number, for the message.
        none: the meaning of None, if it is allowed; None is then returned.
    """
    if none is not None and value is None:
        return None
    bounds = (at_least, above, at_most, below)
    found = _float(_scalar(value))
    if found is None or not math.isfinite(found) or not _is_inside(found, *bounds):
        expected = f"a finite number{_range(*bounds)}"
        raise invalid(name, value, _explained(expected, meaning, none))
    return found


def integer(
    value: Any,
    name: str,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    meaning: str | None = None,
    none: str | None = None,
) -> Any:
    """Returns an int in a range. The arguments are those of `number`."""
    if none is not None and value is None:
        return None
    found = _scalar(value)
    bounds = (at_least, None, at_most, None)
    if not is_integer(found) or not _is_inside(found, *bounds):
        expected = f"an int{_range(*bounds)}"
        raise invalid(name, value, _explained(expected, meaning, none))
    return int(found)


def is_integer(value: Any) -> bool:
    """Returns whether this is an int of Python or NumPy, but not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Returns whether this is a real number of Python or NumPy (including NaN), but not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def choice(value: _T, name: str, choices: Collection[_T], meaning: str | None = None) -> _T:
    """Returns one of several strings."""
    if not isinstance(value, str) or value not in choices:
        listed = " or ".join(f'"{each}"' for each in choices)
        expected = listed if len(choices) < 3 else f"one of {list(choices)}"
        raise invalid(name, value, _explained(expected, meaning))
    return value


def flag(value: Any, name: str, meaning: str | None = None) -> bool:
    """Returns a bool of Python or NumPy."""
    if not isinstance(value, (bool, np.bool_)):
        raise invalid(name, value, _explained("True or False", meaning))
    return bool(value)


def function(value: Callable, name: str) -> Callable:
    """Returns a callable."""
    if not callable(value):
        raise invalid(name, value, "callable")
    return value


def expression(value: str | None, name: str, is_key: bool = False) -> str | None:
    """Returns a regular expression or None; with `is_key`, a key of the dict of this name."""
    if value is None and not is_key:
        return None
    try:
        if not isinstance(value, (str, re.Pattern)):
            raise TypeError("not a string")
        re.compile(value)
    except (re.error, TypeError) as error:
        expected = "a dict with regular expressions as keys" if is_key else "a regular expression"
        raise ValueError(f"{invalid(name, value, expected)} ({error})") from None
    return value


def _scalar(value):
    """Returns the number in a scalar array or tensor; other values are returned unchanged."""
    kind = re.search(r"(int|float)\d", str(getattr(value, "dtype", "")))
    if kind is None or len(getattr(value, "shape", (0,))) > 0:
        return value
    return int(value) if kind[1] == "int" else float(value)


def _float(value):
    if not is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_inside(value, at_least, above, at_most, below):
    return (
        (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )


def _range(at_least, above, at_most, below):
    bounds = {"of at least": at_least, "above": above, "at most": at_most, "below": below}
    given = [f"{words} {bound}" for words, bound in bounds.items() if bound is not None]
    return f" {' and '.join(given)}" if given else ""


def _explained(expected, meaning=None, none=None):
    expected = expected if meaning is None else f"{expected}, {meaning}"
    return expected if none is None else f"{expected}, or None for {none}"


def _excerpt(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
