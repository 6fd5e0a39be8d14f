"""`zmqbridge top`: the statistics of running programs, from those that offer them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import time
from typing import Any, NamedTuple

import zmq

from zmqbridge._cli import pretty
from zmqbridge._cli.ending import FAILED, OK
from zmqbridge._cli.keys import security_of
from zmqbridge._cli.telling import until_told
from zmqbridge.asyncio_backend import Requester
from zmqbridge.errors import HandshakeFailed, RequestTimeout

COLUMNS = ("socket", "pattern", "received", "in/s", "sent", "out/s", "unread", "queued", "lost")
WIDTHS = (11, 11, 10, 6, 10, 6, 6, 6, 5)  # 79 in all, with the spaces in between
TEXTS = 2  # the first columns
LOSSES = ("dropped", "refused", "unroutable", "lost")
COUNTED = ("received", "sent", "unread", "queued", *LOSSES)
NOT_OFFERED = "what answers there does not offer statistics: see zmqbridge.tools.offer"


class Seen(NamedTuple):
    """What one program has answered.

    Attributes:
        address: where it was asked.
        at: seconds since 1970.
        told: its answer, None if there is none.
        error: why there is none.
    """

    address: str
    at: float
    told: dict[str, Any] | None
    error: str = ""


def run(
    addresses: list[str], every: float, count: float, timeout: float, as_json: bool,
    curve: str | None, own_key: str | None,
) -> int:  # fmt: skip
    """Ask, and print what the answers are, again and again; returns the exit status."""
    security = security_of(curve, serves=False, own_key=own_key)
    options = {zmq.LINGER: 0, zmq.IPV6: int(any("[" in each for each in addresses))}
    given = {"timeout": timeout, "security": security, "options": options}
    return asyncio.run(until_told(watch(addresses, every, count, as_json, given), "top", 0))


async def watch(
    addresses: list[str], every: float, count: float, as_json: bool, given: dict[str, Any]
) -> int:
    """Ask all at the same time, and print, until it was often enough; returns the exit status."""
    async with AsyncExitStack() as stack:
        asked = [
            (address, await stack.enter_async_context(Requester(connect=address, **given)))
            for address in addresses
        ]
        console = None if as_json else pretty.console_of(sys.stdout)
        draw = None if console is None else stack.enter_context(pretty.redrawn(console))
        before: dict[str, Seen] = {}
        rounds = 0
        while True:
            seen = await asyncio.gather(*(ask(*each) for each in asked))
            if as_json:
                for each in seen:
                    print(json.dumps(as_object(each)), flush=True)
            elif draw is not None:
                draw([table_of(each, before.get(each.address)) for each in seen])
            else:
                print("\n".join(lines_of(each, before.get(each.address)) for each in seen))
                sys.stdout.flush()
            rounds += 1
            if rounds >= count:
                return FAILED if any(each.told is None for each in seen) else OK
            before = {each.address: each for each in seen}
            await asyncio.sleep(every)


async def ask(address: str, requester: Requester) -> Seen:
    """Ask one program."""
    try:
        reply = await requester.request(b"statistics")
    except (RequestTimeout, HandshakeFailed) as error:
        return Seen(address, time(), None, str(error))
    told = told_by(reply)
    return Seen(address, time(), told, "" if told else NOT_OFFERED)


def told_by(reply: list[bytes]) -> dict[str, Any] | None:
    """The statistics in a reply, None if there are none."""
    try:
        told: dict[str, Any] = json.loads(reply[0])
        rows = told["sockets"].values()
        texts = [told["program"], *(row["pattern"] for row in rows)]
        figures = [told["pid"], *(row[each] for row in rows for each in COUNTED)]
        whole = all(isinstance(each, str) for each in texts) and all(
            isinstance(each, int) for each in figures
        )
        return told if whole else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def as_object(seen: Seen) -> dict[str, Any]:
    """An answer as one object of JSON."""
    return {"at": round(seen.at, 3), "address": seen.address} | (seen.told or {"error": seen.error})


def title_of(seen: Seen) -> str:
    """Which program has answered, or why there is no answer."""
    if seen.told is None:
        return f"{seen.address}: {seen.error}"
    program = pretty.shown(seen.told["program"].encode())
    return f"{seen.address}: {program}, process {seen.told['pid']}"


def rows_of(seen: Seen, before: Seen | None) -> list[list[str]]:
    """A row for each socket; what it does in a second is known from the second answer on."""
    rows = []
    for name, now in (seen.told or {"sockets": {}})["sockets"].items():
        then = ((before and before.told) or {"sockets": {}})["sockets"].get(name)
        passed = seen.at - before.at if before and then else 0
        rates = {
            way: f"{(now[way] - then[way]) / passed:,.0f}" if passed > 0 else "–"
            for way in ("received", "sent")
        }
        figures = [now["received"], rates["received"], now["sent"], rates["sent"], now["unread"],
                   now["queued"], sum(now[each] for each in LOSSES)]  # fmt: skip
        cells = [each if isinstance(each, str) else f"{each:,}" for each in figures]
        texts = [pretty.shown(each.encode()) for each in (name, now["pattern"])]
        rows.append([*texts, *cells])
    return rows


def table_of(seen: Seen, before: Seen | None) -> Any:
    """An answer as a table for a terminal."""
    if seen.told is None:
        return title_of(seen)
    return pretty.table(title_of(seen), COLUMNS, rows_of(seen, before), TEXTS)


def lines_of(seen: Seen, before: Seen | None) -> str:
    """An answer as plain lines."""
    rows = [] if seen.told is None else [COLUMNS, *rows_of(seen, before)]
    return "\n".join([title_of(seen), *map(line_of, rows)])


def line_of(row: Sequence[str]) -> str:
    """A row as a line."""
    cells = [
        cell.ljust(width) if place < TEXTS else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, WIDTHS, strict=True))
    ]
    return " ".join(cells).rstrip()
