"""`zmqbridge ping`: what listens at an address, and why you cannot talk to it."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from zmqbridge._cli import pretty
from zmqbridge._cli.ending import Refused
from zmqbridge.core import _zmtp as zmtp
from zmqbridge.errors import MalformedMessage

FITS, DOES_NOT_FIT, NOT_THERE, NOT_ZMTP = range(4)

# A peer hangs up on another mechanism than its own, and does not say which one that is.
MECHANISMS = ("NULL", "PLAIN", "CURVE")
WANTED = {
    "PLAIN": "it wants a user name and a password",
    "CURVE": "clients need its public key: give it by --curve FILE",
}
# One of these may talk to any socket.
SOME_OF_ALL = ("DEALER", "SUB", "PULL", "PUSH", "PUB", "PAIR")
# How servers of other protocols begin to speak.
OTHERS = {
    b"HTTP/": "an HTTP server",
    b"<!DOCTYPE": "an HTTP server",
    b"<html": "an HTTP server",
    b"SSH-": "an SSH server",
    b"\x15\x03": "a TLS server",
    b"-ERR": "a Redis server",
    b"220 ": "a mail or FTP server",
    b"AMQP": "an AMQP broker",
}


@dataclass(frozen=True)
class Heard:
    """What a peer has said in a connection, until it was silent or hung up."""

    said: bytes
    hung_up: bool


class Keys(NamedTuple):
    """The files of the server's public key and of our own pair; None is a new pair."""

    curve: str
    own_key: str | None


class NotThere(Exception):
    """No connection can be made; the text says why."""


def run(
    address: str, role: str | None, timeout: float, curve: str | None, own_key: str | None = None
) -> int:
    """Print one line on what listens at `address`, and return the exit status."""
    keys = None if curve is None else Keys(curve, own_key)
    try:
        status, text = look(address, role, monotonic() + timeout, keys)
    except NotThere as reason:
        status, text = NOT_THERE, f"nothing listens there: {reason}"
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    fits = status == FITS
    pretty.say(f"{address}: {text}", sys.stdout if fits else sys.stderr, "green" if fits else "red")
    return status


def look(address: str, role: str | None, end: float, keys: Keys | None) -> tuple[int, str]:
    """The exit status and what there is to say, by `end` on the monotonic clock."""
    for mechanism in MECHANISMS:
        heard = ask(address, zmtp.pack_greeting(mechanism), end)
        try:
            greeting = zmtp.parse_greeting(heard.said)
        except MalformedMessage:
            return NOT_ZMTP, f"this is not ØMQ, but {what_else(heard.said)}"
        if greeting is not None:
            return judge(address, greeting, heard, role, end, keys)
        if not heard.hung_up:
            break
    if heard.hung_up:
        return NOT_ZMTP, f"it hangs up, and speaks none of {', '.join(MECHANISMS)}"
    if heard.said:
        return NOT_ZMTP, "it begins like ØMQ, and then says nothing more"
    # After an empty line, servers of most text protocols say something.
    heard = ask(address, zmtp.pack_greeting("NULL") + b"\r\n\r\n", end)
    if not heard.said:
        return NOT_ZMTP, "something listens there and says nothing: no ØMQ, or a process that hangs"
    return NOT_ZMTP, f"this is not ØMQ, but {what_else(heard.said)}"


def judge(
    address: str,
    greeting: zmtp.Greeting,
    heard: Heard,
    role: str | None,
    end: float,
    keys: Keys | None,
) -> tuple[int, str]:
    """The same, for a peer that has introduced itself."""
    version = ".".join(map(str, greeting.version))
    if greeting.version < (3, 0):
        return FITS, f"ZMTP {version}, which knows no security; libzmq before version 4"
    known = f"ZMTP {version}, {greeting.mechanism}"
    if greeting.mechanism == "CURVE" and keys is not None:
        status, text = try_curve(address, [role] if role else list(SOME_OF_ALL), end, keys)
        return status, f"{known}; {text}"
    if greeting.mechanism != "NULL":
        return DOES_NOT_FIT, f"{known}; {WANTED.get(greeting.mechanism, 'which is unknown here')}"
    if keys is not None:
        return DOES_NOT_FIT, f"{known}; it encrypts nothing, so clients must not use CURVE"
    if heard.hung_up and len(heard.said) <= zmtp.GREETING:
        return DOES_NOT_FIT, f"{known}; then it hangs up"
    return judge_type(known, heard.said[zmtp.GREETING :], role)


def judge_type(known: str, said: bytes, role: str | None) -> tuple[int, str]:
    """The same, for a peer without security, by the command that follows its greeting."""
    try:
        parsed = zmtp.parse_command(said)
        if parsed is None:
            return DOES_NOT_FIT, f"{known}; it does not say more: its authenticator may be silent"
        command, _ = parsed
        if command.name == "ERROR":
            return DOES_NOT_FIT, f"{known}; it refuses us: {zmtp.parse_error(command.body)}"
        properties = zmtp.parse_ready(command.body)
    except MalformedMessage as error:
        return NOT_ZMTP, f"{known}; then {error}"
    kind = properties.get("Socket-Type", b"").decode("ascii", "replace")
    partners = zmtp.PARTNERS.get(kind, [])
    known += f", {kind or 'of no type'}"
    if identity := properties.get("Identity"):
        known += f", routing id {shown(identity)}"
    may = f"{one_of(partners)} may connect" if partners else "this type is unknown here"
    if role is not None and role not in partners:
        return DOES_NOT_FIT, f"{known}; {article(role)} may not connect, {may}"
    return FITS if partners else DOES_NOT_FIT, f"{known}; {may}"


def left(end: float) -> float:
    """The seconds until `end`, more than 0: a timeout of 0 would mean something else."""
    return max(0.001, end - monotonic())


def ask(address: str, said: bytes, end: float) -> Heard:
    """Connect, say this, and listen until the greeting and a command are there, or no more comes.

    This listens until `end`, but half as long to a peer that says nothing at all, so that there is
    time to say something else.

    Raises:
        NotThere: there is no connection.
    """
    transport, _, place = address.partition("://")
    try:
        with open_connection(transport, place, left(end)) as connection:
            return hear(connection, said, end)
    except TimeoutError:
        raise NotThere("no connection in time") from None
    except (OSError, ValueError, OverflowError) as error:
        raise NotThere(getattr(error, "strerror", None) or str(error)) from None


def open_connection(transport: str, place: str, timeout: float) -> socket.socket:
    """A connection to the place of an address."""
    if transport == "ipc":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect("\0" + place[1:] if place.startswith("@") else place)
        except BaseException:
            connection.close()
            raise
        return connection
    host, _, port = place.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def hear(connection: socket.socket, said: bytes, end: float) -> Heard:
    """Send some bytes, and listen."""
    silent = monotonic() + left(end) / 2
    heard = b""
    try:
        connection.sendall(said)
        while not is_whole(heard):
            connection.settimeout(left(end if heard else silent))
            more = connection.recv(4096)
            if not more:
                return Heard(heard, True)
            heard += more
    except TimeoutError:
        return Heard(heard, False)
    except ConnectionError:
        return Heard(heard, True)
    return Heard(heard, False)


def is_whole(said: bytes) -> bool:
    """Whether there is nothing more to wait for."""
    try:
        greeting = zmtp.parse_greeting(said)
        if greeting is None:
            return False
        if greeting.mechanism != "NULL":
            return True
        return zmtp.parse_command(said[zmtp.GREETING :]) is not None
    except MalformedMessage:
        return True


def try_curve(address: str, roles: list[str], end: float, files: Keys) -> tuple[int, str]:
    """Whether a server accepts a client with these keys."""
    from zmqbridge._cli.keys import keys_in, pair_of

    try:
        key, _ = keys_in(files.curve, "--curve")
        pair = pair_of(files.own_key)
    except Refused as error:
        return DOES_NOT_FIT, str(error)
    # The type of the server's socket is encrypted, too; a client only learns whether it is let in.
    role, silent = who_comes_in(address, roles, key, pair, end)
    if silent:
        return DOES_NOT_FIT, "it did not answer to this key in time: a longer --timeout may help"
    if role is None:
        return DOES_NOT_FIT, f"{article(' or '.join(roles))} with this key is not let in"
    return FITS, f"the key is right, {article(role)} may connect"


def who_comes_in(
    address: str, roles: list[str], key: bytes, pair: tuple[bytes, bytes], end: float
) -> tuple[str | None, bool]:
    """The first type of socket that gets through the handshake, and whether time was too short.

    All of them try at once.
    """
    import zmq
    from zmq.utils.monitor import recv_monitor_message

    good, bad = zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED
    wanted = good | bad | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    poller, waiting, let_in = zmq.Poller(), {}, None
    with zmq.Context() as context, ExitStack() as stack:
        for role in roles:
            client = stack.enter_context(context.socket(getattr(zmq, role)))
            client.setsockopt(zmq.LINGER, 0)
            client.setsockopt(zmq.IPV6, int("[" in address))
            client.curve_serverkey = key
            client.curve_publickey, client.curve_secretkey = pair
            events = stack.enter_context(client.get_monitor_socket(wanted))
            stack.callback(client.disable_monitor)
            waiting[events] = role
            poller.register(events, zmq.POLLIN)
            client.connect(address)
        while waiting and let_in is None and monotonic() < end:
            for events, _ in poller.poll(int(left(end) * 1000)):
                role = waiting.pop(events)
                poller.unregister(events)
                if recv_monitor_message(events)["event"] == good:
                    let_in = role
    return let_in, let_in is None and bool(waiting)


def what_else(said: bytes) -> str:
    """What seems to listen, by what it says."""
    for begin, name in OTHERS.items():
        if said.startswith(begin):
            return name
    return f"something that begins with {said[:20]!r}"


def shown(identity: bytes) -> str:
    """A routing id, as text where it is."""
    text = identity.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else identity.hex()


def article(kind: str) -> str:
    """A type of socket with its article."""
    return f"{'an' if kind.startswith('X') else 'a'} {kind}"


def one_of(kinds: list[str]) -> str:
    """Types of sockets as alternatives."""
    return article(" or ".join(kinds))
