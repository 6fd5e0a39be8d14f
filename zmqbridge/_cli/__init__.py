"""The command line: which commands there are, and what they take.

Everything else is loaded when a command runs, so that ``--help`` loads neither zmq nor a loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from math import inf
from typing import Any

from zmqbridge import __version__
from zmqbridge._cli.parsing import (
    ADDRESS,
    COUNT,
    Parser,
    Wrapped,
    add_client_keys,
    add_curve,
    add_forms,
    address,
    at_least_one,
    positive,
)

TYPES = ["PAIR", "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "REQ", "REP", "DEALER", "ROUTER"]

# Of each socket: what it does, what its words are, and an example.
SOCKETS: dict[str, tuple[str, str | None, str]] = {
    "push": ("send each line to one of the pullers, in turn", None, "seq 10 | %s push -c {a}"),
    "pull": ("write what pushers send", None, "%s pull -b {a} --count 10"),
    "pub": ("publish each line", "TAG", "date | %s pub -b {a} clock"),
    "sub": ("write what publishers publish", "TAG", "%s sub -c {a} clock --timeout 5"),
    "req": ("send each line as a request, and write its reply", None, "echo hi | %s req -c {a}"),
    "rep": ("answer each request by itself or these words", "PART", "%s rep -b {a} pong"),
    "dealer": ("send each line, and write what comes", None, "echo hi | %s dealer -c {a} --json"),
    "router": ("send each line to its peer, and write what comes", None, "%s router -b {a} --json"),
}
HALVES = {"anyio": "asyncio", "twisted": "twisted"}  # what may be missing, and the extra with it
OTHERWISE = "130 Ctrl-C, 141 the output is closed"
STATUS = f"""
exit status: 0 all is well, 1 time is up or a message was not sent,
2 what was given cannot be used, {OTHERWISE}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; without one, print the usage."""
    parser = Parser(
        prog=called_as(),
        description="ØMQ patterns for Twisted and asyncio.",
        epilog=f"example:  {called_as()} pull --help",
        formatter_class=Wrapped,
    )
    parser.add_argument("--version", action="version", version=f"zmqbridge {__version__}")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # characters that it cannot encode are shown with \\
            stream.reconfigure(errors="backslashreplace")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_demo(commands)
    for pattern in SOCKETS:
        add_socket(commands, pattern)
    add_ping(commands)
    add_proxy(commands)
    add_tap(commands)
    add_top(commands)
    add_bench(commands)
    add_keygen(commands)
    add_migrate(commands)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in SOCKETS:
        # Tags and options in any order, which `parse_args` does not take.
        given = vars(commands.choices[words[0]].parse_intermixed_args(words[1:]))
    else:
        given = vars(parser.parse_args(words))
    module = given.pop("module", None)
    if module is None:
        parser.print_help()
        return 0
    return run(module, words[0], given)


def run(module: str, name: str, given: dict[str, Any]) -> int:
    """Run the command of a module from its start to its end; returns the exit status."""
    from zmqbridge._cli.ending import ended

    return ended(name, lambda: perform(module, given))


def perform(module: str, given: dict[str, Any]) -> int:
    """Do the work of a module, if the libraries are there that it needs."""
    try:
        # Imported late, because the processes of the demo import this package, too.
        command = import_module(f"zmqbridge._cli.{module}")
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        if library not in HALVES:
            raise
        said = f"{library} is not installed: pip install 'zmqbridge-core[{HALVES[library]}]'"
        print(f"{called_as()}: {said}", file=sys.stderr)
        return 2
    status: int = command.run(**given)
    return status


def called_as() -> str:
    """The name by which the user has called this program."""
    name = os.path.basename(sys.argv[0])
    return "python -m zmqbridge" if name == "__main__.py" else "zmqbridge"


def add(commands: Any, name: str, text: str, module: str, example: str, **more: Any) -> Any:
    """Add a command, with an example at the end of its help."""
    command = commands.add_parser(
        name,
        help=text,
        epilog=f"example:  {example.format(a=ADDRESS)}" + more.pop("after", ""),
        formatter_class=Wrapped,
        **more,
    )
    command.set_defaults(module=module)
    return command


def add_demo(commands: Any) -> None:
    """Add the demo."""
    demo = add(
        commands,
        "demo",
        "let a Twisted and an asyncio process work together",
        "demo",
        f"{called_as()} demo --count 100",
        description="""\
Starts a Twisted process (on the txZMQ facade) and an asyncio process, lets them
publish, push, request and route messages to each other, and counts every one.
The exit status is 0 only when all are accounted for.""",
    )
    demo.add_argument(
        "--count",
        type=at_least_one,
        default=COUNT,
        metavar="N",
        help=f"messages of each pattern in each direction (default: {COUNT:,})",
    )
    demo.add_argument(
        "--transport",
        choices=["ipc", "tcp"],
        help="tcp is on 127.0.0.1 (default: ipc, and tcp where there is no ipc)",
    )


def add_socket(commands: Any, pattern: str) -> None:
    """Add the command that is a socket of this pattern."""
    text, word, example = SOCKETS[pattern]
    command = add(
        commands, pattern, text, "pipes", example % called_as(), after="\n" + STATUS,
        description=f"A {pattern.upper()} socket as a filter: {text}.",
    )  # fmt: skip
    command.set_defaults(pattern=pattern)
    for short, long, what in (
        ("-c", "--connect", "connect to this address"),
        ("-b", "--bind", "bind to this address"),
    ):
        command.add_argument(
            short, long, type=address, action="append", default=[], metavar="ADDRESS", help=what
        )
    add_forms(command)
    command.add_argument(
        "--count", type=at_least_one, default=inf, metavar="N", help="end after so many messages"
    )
    command.add_argument(
        "--timeout", type=positive, default=inf, metavar="S", help="seconds without a message, or "
        "until a peer takes what is sent (default: for ever)",
    )  # fmt: skip
    command.add_argument(
        "--rate", type=positive, default=inf, metavar="N", help="send so many a second at the most"
    )
    add_curve(command, "--curve")
    if pattern == "dealer":
        command.add_argument("--id", metavar="NAME", dest="identity", type=os.fsencode,
                             help="the name by which a router knows it")  # fmt: skip
    if word is not None:
        command.add_argument("words", nargs="*", type=os.fsencode, metavar=word, default=[])
    else:
        command.set_defaults(words=[])


def add_ping(commands: Any) -> None:
    """Add the command that tells what listens at an address."""
    ping = add(
        commands,
        "ping",
        "say what listens at an address, and which sockets may connect",
        "ping",
        f"{called_as()} ping {{a}} --as REQ",
        after="\n\nexit status: 0 it fits, 1 it does not, 2 nothing listens, 3 it is not ØMQ",
    )
    ping.add_argument("address", type=address, metavar="ADDRESS")
    ping.add_argument(
        "--as", dest="role", type=str.upper, choices=TYPES, metavar="TYPE",
        help="the type of the socket that is to connect, e.g. DEALER",
    )  # fmt: skip
    ping.add_argument("--timeout", type=positive, default=1.0, metavar="S", help="seconds")
    add_client_keys(ping)


def add_proxy(commands: Any) -> None:
    """Add the proxy."""
    proxy = add(
        commands,
        "proxy",
        "pass messages on between two addresses",
        "proxy",
        f"{called_as()} proxy requests tcp://*:5555 tcp://*:5556",
        description="""\
Passes messages on: requests of clients at FRONT to workers at BACK (requests),
publications at FRONT to subscribers at BACK (pubsub), or what is pushed at
FRONT to pullers at BACK (pipeline). It binds; connect:tcp://host:port connects,
and commas separate several addresses. It ends by Ctrl-C or SIGTERM.""",
        after="\n\nexit status: 0 SIGTERM, 1 it has failed, 2 cannot be used, " + OTHERWISE,
    )
    add_sides(proxy)
    proxy.add_argument(
        "--mark", type=at_least_one, metavar="N", help="messages held for each peer on each side "
        "(default: 1,000)",
    )  # fmt: skip
    proxy.add_argument("--capture", metavar="ADDRESS", help="publish all that passes, for sub")
    proxy.add_argument(
        "--statistics", type=positive, default=inf, metavar="S",
        help="write every S seconds, and at the end, what has passed, as JSON",
    )  # fmt: skip


def add_sides(command: Any) -> None:
    """Add the arguments that say what a proxy stands between."""
    command.add_argument("kind", choices=["requests", "pubsub", "pipeline"], metavar="KIND",
                         help="requests, pubsub or pipeline")  # fmt: skip
    command.add_argument("front", metavar="FRONT", help="where clients or senders connect")
    command.add_argument("back", metavar="BACK", help="where workers or receivers connect")
    add_curve(command, "--curve-front", "--curve-back")


def add_tap(commands: Any) -> None:
    """Add the proxy that shows what passes."""
    tap = add(
        commands,
        "tap",
        "pass messages on, and print what passes",
        "tap",
        f"{called_as()} tap pubsub tcp://*:5555 connect:tcp://h:5556 --json",
        description="""\
A proxy that also prints what passes it, both directions mixed, as it is on the
wire: a request has its route and its id in front, a subscription a byte 1.
Addresses are those of `proxy`. Nothing is changed, and traffic does not wait
for the output: if that is too slow, messages pass without being printed, and
how many is said at the end.""",
        after="\n\nexit status: 0 enough or SIGTERM, 1 it has failed, 2 cannot be used, "
        + OTHERWISE,
    )
    add_sides(tap)
    add_forms(tap)
    tap.add_argument(
        "--count", type=at_least_one, default=inf, metavar="N", help="end after so many messages"
    )


def add_top(commands: Any) -> None:
    """Add the look at running programs."""
    top = add(
        commands,
        "top",
        "show the statistics of running programs",
        "top",
        f"{called_as()} top ipc:///tmp/jobs.top",
        description="""\
Asks programs that offer their statistics (zmqbridge.tools.offer) again and again,
and shows what each of their sockets has received, sent, holds and has lost.""",
        after="\n\nexit status: 0, 1 one did not answer at last, 2 cannot be used, " + OTHERWISE,
    )
    top.add_argument("addresses", type=address, nargs="+", metavar="ADDRESS")
    for name, what in (
        ("--every", "seconds from one question to the next (default: 1)"),
        ("--timeout", "seconds for the answer (default: 1)"),
    ):
        top.add_argument(name, type=positive, default=1.0, metavar="S", help=what)
    top.add_argument("--count", type=at_least_one, default=inf, metavar="N", help="ask N times")
    top.add_argument("--json", dest="as_json", action="store_true", help="a line of JSON for each")
    add_client_keys(top)


def add_bench(commands: Any) -> None:
    """Add the measurement."""
    bench = add(
        commands,
        "bench",
        "measure how fast a pattern is on this machine",
        "bench",
        f"{called_as()} bench req --size 1000",
        description="""\
Measures between two processes on asyncio: messages a second (push), the time
of one request after the other (req), or requests a second with a hundred under
way (req-many). A busy machine measures itself.""",
    )
    bench.add_argument("pattern", choices=["push", "req", "req-many"], metavar="PATTERN",
                       help="push, req or req-many")  # fmt: skip
    bench.add_argument("--transport", choices=["tcp", "ipc"], default="tcp", help="default: tcp")
    bench.add_argument("--size", type=at_least_one, default=100, metavar="N", help="bytes each")
    bench.add_argument("--count", type=at_least_one, default=COUNT, metavar="N",
                       help=f"messages (default: {COUNT:,})")  # fmt: skip
    bench.add_argument("--json", dest="as_json", action="store_true", help="one line of JSON")


def add_keygen(commands: Any) -> None:
    """Add the command that makes keys for CURVE."""
    keygen = add(
        commands,
        "keygen",
        "make a pair of CURVE keys",
        "keygen",
        f"{called_as()} keygen server",
        description="Writes NAME.key for the peers, and NAME.key_secret, which only you can read.",
    )
    keygen.add_argument("name", metavar="NAME")
    keygen.add_argument("--folder", default=".", help="where the files go (default: here)")


def add_migrate(commands: Any) -> None:
    """Add the codemod."""
    migrate = add(
        commands,
        "migrate",
        "move a program from txZMQ to zmqbridge.txzmq",
        "migrate",
        f"{called_as()} migrate src --diff",
        description="""\
Rewrites the imports of txzmq, and of its older names txZMQ and tx0mq, and names
that have changed since, in files and in the .py and .tac files of folders. Comments are
kept, and twice is once. What native classes could do is said, not rewritten.""",
        after="\n\nexit status: 0, 1 with --check if a file would change, 2 a file cannot be read",
    )
    migrate.add_argument("paths", nargs="+", metavar="PATH")
    migrate.add_argument("--diff", action="store_true", help="print a diff, and write nothing")
    migrate.add_argument("--check", action="store_true", help="only say what would change")
