"""Colours and tables for output on a terminal, by the extra ``[rich]``.

Without it, in a pipe or a file, with ``NO_COLOR`` set, and where ``TERM`` is dumb, there is none of
it: each function says so, and its caller prints plain lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# What would move the cursor or worse, if a peer sent it; a tab stays.
CONTROLS = {
    number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if number != ord("\t")
}


def console_of(stream: Any) -> Console | None:
    """What draws on a stream; None if it shall be plain."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "", "dumb")
    if stream is None or plain or not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def printer_of_lines() -> Callable[[bytes, int], None] | None:
    """What prints lines of messages in colours: it gets a line, and the length of its head.

    The head is what comes before the parts, the peer or tag, in bytes. Control characters are
    shown by their codes, so that no message does something to the terminal. None if lines are
    plain.
    """
    console = console_of(sys.stdout)
    if console is None:
        return None
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    json = JSONHighlighter()

    def show(line: bytes, head: int) -> None:
        if line.startswith(b'{"'):
            text = Text(shown(line))
            json.highlight(text)
        else:
            text = Text.assemble((shown(line[:head]), "bold cyan"), shown(line[head:]))
        console.print(text, soft_wrap=True)

    return show


def shown(part: bytes) -> str:
    """Bytes as a terminal may have them."""
    return part.decode(errors="backslashreplace").translate(CONTROLS)


def say(text: str, stream: Any, style: str) -> None:
    """Print a line, in a colour on a terminal."""
    console = console_of(stream)
    if console is None:
        print(text, file=stream)
    else:
        console.print(text, style=style, soft_wrap=True)


def table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> Any:
    """A table for a console; the first columns, as many as `texts`, are texts, the rest figures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for place, name in enumerate(columns):
        justify: Any = "left" if place < texts else "right"
        made.add_column(name, justify=justify, style="bold cyan" if place == 0 else "")
    for row in rows:
        made.add_row(*row)
    return made


def redrawn(console: Console) -> AbstractContextManager[Callable[[Sequence[Any]], None]]:
    """A place that is drawn again with each list of tables, until the block ends."""
    from contextlib import contextmanager

    from rich.console import Group
    from rich.live import Live

    @contextmanager
    def drawing() -> Any:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            yield lambda tables: live.update(Group(*tables), refresh=True)

    return drawing()
