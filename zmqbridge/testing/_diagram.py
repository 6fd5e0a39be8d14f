"""Diagram: the last events of a simulated network as a sequence diagram in plain text."""

from __future__ import annotations

from collections.abc import Sequence

from zmqbridge.testing._rules import Event

LEAST = 10  # characters between two lifelines
SHOWN = 16  # bytes of a part
SHORT = 4  # bytes that are shown in any case


def diagram(events: Sequence[Event], nodes: Sequence[str]) -> list[str]:
    """A line for each event, with a lifeline for each node that takes part.

    Args:
        events: oldest first.
        nodes: the names of all nodes, in the order of their columns.
    """
    seen = {name for event in events for name in (event.source, event.target)}
    columns: dict[str, int] = {}
    head, at = "", 12
    for name in nodes:
        if name in seen:
            columns[name] = at + len(name) // 2
            head = head.ljust(at) + name
            at += max(len(name) + 3, LEAST)
    lines = [head] if columns else []
    lines += [_line(event, columns, at) for event in events]
    return lines


def _line(event: Event, columns: dict[str, int], width: int) -> str:
    row = list(f"{event.at:11.6f}".ljust(width))
    for at in columns.values():
        row[at] = "|"
    a, b = columns[event.source], columns[event.target]
    if a == b:
        row[a] = "*"
    else:
        left, right = sorted((a, b))
        row[left + 1 : right] = "-" * (right - left - 1)
        row[b - 1 if a < b else b + 1] = ">" if a < b else "<"
        if event.what == "lost":
            row[(left + right) // 2] = "X"
        elif event.what != "message":
            row[b - 1 if a < b else b + 1] = "-"
            row[(left + right) // 2] = "/" if event.what in ("cut", "silence") else "-"
    return "".join(row).rstrip() + "  " + _said(event)


def _said(event: Event) -> str:
    if event.what == "message":
        return " ".join(map(_shown, event.parts)) + f"   {event.detail}"
    parts = " ".join(map(_shown, event.parts))
    return " ".join(filter(None, (event.what, parts, event.detail)))


def _shown(part: bytes) -> str:
    if len(part) > SHORT and not _is_text(part):
        # As an id of a request, of which the beginning and the count at the end tell it apart.
        size = f", {len(part)} bytes" if len(part) > SHOWN else ""
        return f"<{part[:2].hex()}..{part[-2:].hex()}{size}>"
    if len(part) <= SHOWN:
        return repr(part)
    return f"{part[:SHOWN]!r}+{len(part) - SHOWN}"


def _is_text(part: bytes) -> bool:
    """Whether most bytes of what is shown are printable."""
    first = part[:SHOWN]
    return 2 * sum(32 <= each < 127 for each in first) >= len(first)
