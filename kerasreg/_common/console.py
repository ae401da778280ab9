"""Tables on the terminal, or as plain text."""

import io

from rich.console import Console

UNLIMITED = 10_000
_OPTIONS = {"markup": False, "emoji": False, "highlight": False}


def show(render, print_fn=None):
    """Print `render(width)` in colour, or call `print_fn` once with it as plain text.

    What goes into a file or a pipe is as wide as it likes.
    """
    if print_fn is None:
        console = Console(**_OPTIONS)
        if not (console.is_terminal or console.is_jupyter):
            console.width = UNLIMITED
        console.print(render(console.width))
    else:
        print_fn(as_text(render(UNLIMITED)))


def as_text(renderable):
    """Anything that rich can print, without colour."""
    console = Console(file=io.StringIO(), width=UNLIMITED, color_system=None, **_OPTIONS)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
