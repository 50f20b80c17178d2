"""The comment laid out for a terminal: the same text at every width, nothing cut off."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table
from typing_extensions import override


class _Folded(TableElement):
    """A table whose cells go on in the next line: rich's own ends what does not fit with an ellipsis."""

    @override
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class _Comment(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _Folded}


def show(text: str) -> None:
    """Print the comment to standard output, as wide as the terminal is."""
    Console().print(_Comment(text))
