"""Printing of tables, on the terminal or as plain text."""

import io

from rich.console import Console

_UNLIMITED = 10_000
_OPTIONS = {"markup": False, "emoji": False, "highlight": False}


def show(renderable, print_fn=None):
    """Prints in colour, or calls `print_fn` once with the plain text.

    Output to a file or a pipe is not limited in width.
    """
    if print_fn is None:
        console = Console(**_OPTIONS)
        if not (console.is_terminal or console.is_jupyter):
            console.width = _UNLIMITED
        console.print(renderable)
    else:
        print_fn(as_text(renderable))


def as_text(renderable):
    """Returns the plain text of anything that rich can print."""
    console = Console(file=io.StringIO(), width=_UNLIMITED, color_system=None, **_OPTIONS)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
