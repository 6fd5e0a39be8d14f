"""How arguments are parsed, and which options commands share; loads neither zmq nor a loop."""

from __future__ import annotations

import argparse
import textwrap
from functools import partial
from math import inf
from typing import Any, NoReturn

COUNT = 10_000
ADDRESS = "tcp://127.0.0.1:5555"


class Parser(argparse.ArgumentParser):
    """A parser that knows how an address is given."""

    def error(self, message: str) -> NoReturn:
        """End with the message; to an address without its option the option is named."""
        if message.startswith("unrecognized arguments: ") and "://" in message:
            message += "; give an address by -c to connect, or by -b to bind"
        super().error(message)


class Wrapped(argparse.RawDescriptionHelpFormatter):
    """Wraps paragraphs to the width of the terminal; an example is a line as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = partial(textwrap.fill, width=width)
        return "\n\n".join(
            each if each.startswith("example:") else wrap(" ".join(each.split()))
            for each in text.strip().split("\n\n")
        )


def at_least_one(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 on, e.g. {COUNT}")
    return int(text)


def positive(text: str) -> float:
    """Parse a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < inf:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0, e.g. 2.5")
    return number


def is_port(text: str) -> bool:
    """Whether this is a port of tcp, or a star."""
    return text == "*" or (text.isascii() and text.isdecimal() and int(text) < 65536)


def address(text: str) -> str:
    """An address that another process can reach."""
    transport, found, place = text.partition("://")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: write it with its transport, tcp://{text}")
    if transport == "inproc":
        raise argparse.ArgumentTypeError(f"{text!r}: inproc is within one process; use ipc or tcp")
    if transport not in ("tcp", "ipc"):
        raise argparse.ArgumentTypeError(f"{text!r}: use tcp or ipc")
    port = place.rpartition(":")[2]
    if port.isdecimal() and len(place) > len(port) and not is_port(port):
        raise argparse.ArgumentTypeError(f"{text!r}: a port is a number up to 65535")
    if not place or (transport == "tcp" and not is_port(port)):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as {ADDRESS} or ipc:///tmp/socket")
    return text


def add_curve(command: Any, *names: str) -> None:
    """Add the options that encrypt."""
    for name in names:
        command.add_argument(name, metavar="FILE", help="encrypt: where it binds, its own secret "
                             "key; where it connects, the server's public key")  # fmt: skip
    command.add_argument("--clients", metavar="FOLDER", help="where it binds, let in only clients "
                         "with a key there (NAME.key); default: any client")  # fmt: skip
    command.add_argument("--own-key", metavar="FILE", help="where it connects: its own pair of "
                         "keys (NAME.key_secret); default: a new pair")  # fmt: skip


def add_client_keys(command: Any) -> None:
    """Add the options that encrypt, where the command only connects."""
    command.add_argument("--curve", metavar="FILE", help="the server's public key")
    command.add_argument(
        "--own-key", metavar="FILE", help="our own pair of keys; default: new ones"
    )


def add_forms(command: Any) -> None:
    """Add the options that say how a message is written as a line."""
    form = command.add_mutually_exclusive_group()
    for name, what in (
        ("lines", "a line of text is one part (default); not exact for what has line ends"),
        ("hex", "a line has the parts in hexadecimal, with spaces in between"),
        ("json", 'a line is {"parts": [...]}, with "tag" or "peer" where there is one'),
    ):
        form.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, default="lines", help=what
        )
