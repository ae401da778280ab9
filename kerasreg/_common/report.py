"""The base class of all reports."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from kerasreg._common.console import as_text, show
from kerasreg._common.sheet import Sheet


class Report(ABC):
    """The base class of results that are tables; notebooks display them as HTML."""

    @abstractmethod
    def _sheet(self, width: int | None = None) -> Sheet:
        """Returns the contents of the table.

        Args:
            width: the available number of characters; None for Markdown and HTML, which get all
                columns and exact numbers.
        """

    def print(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Prints the table in colour, or calls `print_fn` once with its plain text."""
        show(self, print_fn)

    def to_dict(self) -> dict[str, Any]:
        """Returns all values as plain Python values for JSON; NaN and infinity become None."""
        return plain_values(asdict(self))  # type: ignore[call-overload]

    def to_markdown(self) -> str:
        """Returns the table in Markdown, followed by the notes as a list."""
        return self._sheet().markdown()

    def __str__(self):
        return as_text(self)

    def _repr_html_(self):
        return self._sheet().html()

    def __rich_console__(self, console, options):
        yield from self._sheet(options.max_width).rich()


def plain_values(values: Any) -> Any:
    """Converts nested values to dicts, lists and numbers of Python.

    >>> plain_values({"shape": (2, np.int64(3)), "max": math.nan})
    {'shape': [2, 3], 'max': None}
    """
    if isinstance(values, Mapping):
        return {key: plain_values(value) for key, value in values.items()}
    if isinstance(values, (np.ndarray, np.generic)):
        values = values.tolist()
    if isinstance(values, (list, tuple)):
        return [plain_values(each) for each in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
