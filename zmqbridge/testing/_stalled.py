"""Stalled: says who waits for what when nothing can go on any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zmqbridge.testing.errors import Stalled
from zmqbridge.testing.network import Network

# After so long without a step of any task, with only the library's own timers left, nothing will
# ever come.
STALLS = 3600.0  # seconds


def stalled(network: Network, tasks: Iterable[Any]) -> Stalled:
    """The error, with a line for each task."""
    lines = [f"at {network.now:.6f} s nothing can go on any more; these wait:"]
    lines += [f"  {task.get_name()}: {_place(task)}" for task in tasks]
    sockets = [repr(each) for each in network.sockets.values()][:20]
    if sockets:
        lines.append("  sockets: " + ", ".join(sockets))
    return Stalled("\n".join(lines))


def _place(task: Any) -> str:
    """The innermost line of a task that is not the library's or asyncio's, and what it awaits."""
    coro, places = task.get_coro(), []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None:
            code = frame.f_code
            places.append((code.co_filename, frame.f_lineno, code.co_qualname))
        coro = getattr(coro, "cr_await", None)
    if not places:
        return "has not begun"
    users = [place for place in places if not _ours(place[0])] or places
    name, line, what = users[-1]
    inner = places[-1][2]
    return f"{name}:{line} in {what}" + (f", in {inner}" if inner != what else "")


def _ours(path: str) -> bool:
    return any(part in path for part in ("/zmqbridge/", "/asyncio/", "/trio/", "/anyio/"))
