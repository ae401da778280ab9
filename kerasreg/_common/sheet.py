"""A table with notes, rendered for a terminal, as Markdown and as HTML."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_CODE = re.compile(r"(`[^`]*`)")
# Only the colours of the page are used, because it may be light or dark.
_CELL = "padding: 0.1em 0.8em; text-align: {align}; vertical-align: top"
_RULE = "; border-bottom: 1px solid currentColor"


def left(*names: str) -> tuple[tuple[str, str], ...]:
    """Returns left-aligned columns of text, which may be wrapped."""
    return tuple((name, "left") for name in names)


def right(*names: str) -> tuple[tuple[str, str], ...]:
    """Returns right-aligned columns of numbers, which are not wrapped."""
    return tuple((name, "right") for name in names)


@dataclass(frozen=True)
class Sheet:
    """The contents of a table, as text.

    Attributes:
        title: the title, one line.
        columns: the names and alignments of the columns, from `left` and `right`.
        rows: the rows, each with one text per column.
        total: a last row that is set apart, or None.
        notes: texts below the table; a note may have several lines.
        marked: the indices of the rows to emphasize.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[str, ...]]
    total: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    marked: frozenset[int] = frozenset()

    def rich(self) -> Iterator[RenderableType]:
        """Yields the table and the notes for rich, as `Text`, so that brackets are not markup."""
        title = Text(self.title, style="table.title")
        table = Table(title=title, box=SIMPLE, title_justify="left", padding=(0, 1, 0, 0))
        for name, align in self.columns:
            if align == "right":
                table.add_column(Text(name), justify="right", no_wrap=True)
            else:
                table.add_column(Text(name), overflow="fold")
        for place, row in enumerate(self.rows):
            table.add_row(*map(Text, row), style="red" if place in self.marked else None)
        if self.total is not None:
            table.add_section()
            table.add_row(*map(Text, self.total), style="bold")
        yield table
        yield from map(Text, self.notes)

    def markdown(self) -> str:
        """Returns a Markdown table, followed by a list of the notes."""
        lines = ["---:" if align == "right" else "---" for _, align in self.columns]
        rows = [list(map(_markdown_cell, row)) for row in self._all_rows()]
        table = [[_markdown_cell(name) for name, _ in self.columns], lines, *rows]
        text = "\n".join(f"| {' | '.join(row)} |" for row in table)
        notes = "\n".join(f"- {_markdown_note(note)}" for note in self.notes)
        return f"{text}\n\n{notes}" if notes else text

    def html(self) -> str:
        """Returns an HTML table and a list of the notes, without scripts or colours."""
        head = self._html_row("th", [name for name, _ in self.columns], _RULE)
        rows = [
            self._html_row("td", row, "; font-weight: bold" if place in self.marked else "")
            for place, row in enumerate(self.rows)
        ]
        foot = ""
        if self.total is not None:
            foot = f"<tfoot>{self._html_row('th', self.total)}</tfoot>"
        table = (
            '<table style="border-collapse: collapse">'
            f'<caption style="text-align: left">{_escaped(self.title)}</caption>'
            f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody>{foot}</table>"
        )
        notes = "".join(f"<li>{_escaped(note)}</li>" for note in self.notes)
        return f"<div>{table}{f'<ul>{notes}</ul>' if notes else ''}</div>"

    def _all_rows(self):
        return self.rows if self.total is None else [*self.rows, self.total]

    def _html_row(self, tag, cells, style=""):
        styles = [_CELL.format(align=align) + style for _, align in self.columns]
        inner = (
            f'<{tag} style="{own}">{_escaped(cell)}</{tag}>'
            for own, cell in zip(styles, cells, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"


def _escaped(text):
    return html.escape(text).replace("\n", "<br>")


def _markdown(text):
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|*`])", r"\\\1", text)


def _markdown_cell(text):
    return _markdown(" ".join(text.splitlines()))


def _markdown_note(text):
    # Text in backticks is code, and is not escaped.
    parts = _CODE.split(text)
    return "".join(part if _CODE.fullmatch(part) else _markdown(part) for part in parts)
