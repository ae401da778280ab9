"""Tables on the terminal, or as plain text."""

import io

from rich.console import Console

_UNLIMITED = 10_000
_OPTIONS = {"markup": False, "emoji": False, "highlight": False}


def show(renderable, print_fn=None):
    """Print in colour, or call `print_fn` once with the plain text.

    What goes into a file or a pipe is as wide as it needs to be.
    """
    if print_fn is None:
        console = Console(**_OPTIONS)
        if not (console.is_terminal or console.is_jupyter):
            console.width = _UNLIMITED
        console.print(renderable)
    else:
        print_fn(as_text(renderable))


def as_text(renderable):
    """Anything that rich can print, without colour."""
    console = Console(file=io.StringIO(), width=_UNLIMITED, color_system=None, **_OPTIONS)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
