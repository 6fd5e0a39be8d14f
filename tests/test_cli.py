"""The commands of the command line as a shell runs them; the demo has tests of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import __version__
from zmqbridge._cli import SOCKETS, TYPES
from zmqbridge._cli.formats import FORMATS, Item

if TYPE_CHECKING:
    from tests.conftest import Make

BOUND = 50  # seconds
SILENCE = 0.5  # seconds in which nothing comes


class Command(subprocess.Popen[bytes]):
    """A command that does not outlive a test that has failed."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def start(*arguments: Any, **options: Any) -> Command:
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Command(
        [sys.executable, "-W", "error", "-m", "zmqbridge", *map(str, arguments)],
        **pipes | options,
    )


def run(*arguments: Any, given: bytes = b"") -> tuple[int, bytes, bytes]:
    with start(*arguments) as process:
        try:
            out, err = process.communicate(given, timeout=BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return "ipc://it"


@pytest.fixture
def plain() -> Iterator[Make]:
    """Makes plain sockets, and gives the address to which each was bound."""
    with zmq.Context() as context, contextlib.ExitStack() as stack:

        def make(kind: int, **options: Any) -> tuple[zmq.Socket[bytes], str]:
            made = stack.enter_context(context.socket(kind))
            made.linger = 0
            for name, value in options.items():
                setattr(made, name, value)
            port = made.bind_to_random_port("tcp://127.0.0.1")
            return made, f"tcp://127.0.0.1:{port}"

        yield make


# What says how.


@pytest.mark.parametrize(
    "command",
    [
        "push",
        "pull",
        "pub",
        "sub",
        "req",
        "rep",
        "dealer",
        "router",
        "ping",
        "proxy",
        "keygen",
        "demo",
        "",
    ],
)
def test_each_command_has_an_example(command: str) -> None:
    status, out, err = run(*command.split(), "--help")
    assert (status, err) == (0, b"")
    assert b"example:  " in out
    assert max(map(len, out.decode().splitlines())) <= 80


def test_help_loads_neither_zmq_nor_a_loop() -> None:
    code = (
        "import sys, zmqbridge._cli\n"
        "try: zmqbridge._cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'zmq', 'asyncio', 'twisted', 'anyio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=BOUND)


def test_its_version() -> None:
    assert run("--version") == (0, f"zmqbridge {__version__}\n".encode(), b"")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("localhost:5555", "tcp://localhost:5555"),
        ("inproc://it", "inproc is within one process"),
        ("udp://1.2.3.4:5", "use tcp or ipc"),
        ("tcp://localhost", "tcp://127.0.0.1:5555"),
        ("tcp://localhost:99999", "a port is a number up to 65535"),
    ],
)
def test_an_address_that_cannot_be_one(wrong: str, hint: str) -> None:
    status, _, err = run("ping", wrong)
    assert status == 2
    assert hint in err.decode()


# Formats.

MESSAGES = [
    Item([b"text", "ü\n\t".encode()]),
    Item([b"", b"\0\xff"]),
    Item([bytes(range(256))], tag=b"tag"),
    Item([b"to one"], peer=b"\0peer"),
    Item([b"-"], tag=b""),
]


@pytest.mark.parametrize("name", ["hex", "json"])
@pytest.mark.parametrize("message", MESSAGES)
def test_what_was_written_reads_back_exactly(name: str, message: Item) -> None:
    form = FORMATS[name]()
    line = form.write(message)
    assert b"\n" not in line
    fields = sum(each is not None for each in message[1:])
    read = form.read(line, fields)
    assert read.parts == message.parts
    if fields:
        assert (message.tag if message.tag is not None else message.peer) in read[1:]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("--json", "nothing"),
        ("--json", '{"parts": [1]}'),
        ("--json", "{}"),
        ("--json", '{"tag": "t", "parts": ["a"]}'),
        ("--json", 100_000 * "["),
        ("--hex", "0g"),
    ],
)
def test_a_line_that_stands_for_nothing_is_named(address: str, form: str, line: str) -> None:
    status, out, err = run("push", "-b", address, form, "--timeout", 1, given=line.encode())
    assert (status, out) == (2, b"")
    assert err.startswith(b"zmqbridge push: line 1: ")
    assert err.count(b"\n") == 1


# Sockets.


@contextlib.contextmanager
def asks_once_more(address: str, part: bytes) -> Iterator[None]:
    """A plain client that asks and waits for no reply."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as asking:
        asking.linger = 0
        asking.connect(address)
        asking.send_multipart([b"id", b"", part])
        yield


@pytest.mark.parametrize("form", ["--json", "--hex"])
def test_ten_megabytes_of_anything_go_through_a_pipe(address: str, form: str) -> None:
    lines = []
    for _ in range(160):
        part = os.urandom(65536)
        encoded = base64.b64encode(part).decode()
        lines.append(
            json.dumps({"parts": [{"base64": encoded}]}) if form == "--json" else part.hex()
        )
    given = "\n".join(lines).encode() + b"\n"
    with start("pull", "-b", address, form, "--count", len(lines)) as puller:
        status, out, err = run("push", "-c", address, form, given=given)
        assert (status, out, err) == (0, b"", b"")
        assert puller.communicate(timeout=BOUND) == (given, b"")
    assert puller.returncode == 0


def test_where_nobody_takes_it_the_status_says_so(address: str) -> None:
    status, out, err = run("push", "-b", address, "--timeout", SILENCE, given=b"1\n2\n3\n")
    assert (status, out) == (1, b"")
    assert err == b"not all was sent: no peer takes it (no peer is there)\n"


def test_where_nothing_comes_the_status_says_so(address: str) -> None:
    assert run("pull", "-b", address, "--timeout", SILENCE)[0] == 1
    status, _, err = run("pull", "-b", address, "--timeout", SILENCE, "--count", 2)
    assert (status, err) == (1, b"0 of 2 messages came\n")


def test_requests_are_answered(address: str) -> None:
    # The server hangs up with its last reply, which libzmq may then drop at the client.
    with start("rep", "-b", address, "pong", "--count", 3) as server:
        answer = run("req", "-c", address, "--timeout", 20, given=b"a\nb\n")
        assert answer == (0, b"pong\npong\n", b"")
        with asks_once_more(address, b"c"):
            assert server.communicate(timeout=BOUND) == (b"a\nb\nc\n", b"")


def test_a_request_that_nobody_answers(address: str) -> None:
    status, out, err = run("req", "-c", address, "--timeout", SILENCE, given=b"a\n")
    assert (status, out) == (1, b"")
    assert b"no reply" in err


def test_publications_of_plain_pyzmq_and_to_it(plain: Make) -> None:
    publisher, there = plain(zmq.XPUB)
    with start("sub", "-c", there, "clock", "--count", 2) as subscriber:
        assert publisher.poll(BOUND * 1000)
        assert publisher.recv() == b"\1clock"
        publisher.send(b"clock\0tick")
        publisher.send(b"other\0tick")
        publisher.send(b"clock\0tock")
        assert subscriber.communicate(timeout=BOUND) == (b"clock\ttick\nclock\ttock\n", b"")
    subscriber, there = plain(zmq.SUB)
    subscriber.subscribe(b"clock")
    with start("pub", "-c", there, "clock") as publisher:
        publisher.stdin.write(b"tick\n")
        publisher.stdin.close()
        assert subscriber.poll(BOUND * 1000)  # it subscribes here, when somebody has connected
        assert subscriber.recv() == b"clock\0tick"
        assert publisher.wait(BOUND) == 0


@pytest.mark.parametrize("pattern", SOCKETS)
def test_a_socket_without_an_address(pattern: str) -> None:
    assert run(pattern) == (2, b"", f"zmqbridge {pattern}: give an address by -c or -b\n".encode())


@pytest.mark.skipif(os.name != "posix", reason="a shell closes descriptors")
@pytest.mark.parametrize(
    ("pattern", "closes", "name"), [("push", "<&-", b"input"), ("pull", ">&-", b"output")]
)
def test_a_standard_stream_that_is_closed(
    address: str, pattern: str, closes: str, name: bytes
) -> None:
    command = f"{sys.executable} -m zmqbridge {pattern} -b {address} --timeout 5 {closes}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=BOUND)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"zmqbridge %b: standard %b is closed\n" % (pattern.encode(), name)


def test_input_that_comes_late_on_a_descriptor_that_does_not_block(
    plain: Make,
) -> None:
    puller, there = plain(zmq.PULL)
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    with start("push", "-c", there, stdin=readable) as pusher:
        os.write(writable, b"first\n")
        assert puller.recv() == b"first"
        os.write(writable, b"second\n")
        assert puller.recv() == b"second"
        os.close(writable)
        os.close(readable)
        assert pusher.communicate(timeout=BOUND) == (b"", b"")
        assert pusher.returncode == 0


@pytest.mark.parametrize("many", [900, 5000])
def test_all_that_is_published_comes_to_a_slow_subscriber_though_the_publisher_ends(
    plain: Make, many: int
) -> None:
    subscriber, there = plain(zmq.SUB)
    subscriber.subscribe(b"")
    lines = [b"%d" % number for number in range(many)]
    with start("pub", "-c", there) as publisher:
        assert subscriber.poll(0) == 0  # so it subscribes
        publisher.stdin.write(b"\n".join(lines))
        publisher.stdin.close()
        got: list[bytes] = []
        while len(got) < many and subscriber.poll(10_000):
            got.append(subscriber.recv())
        assert got == [b"\0" + line for line in lines]
        assert publisher.wait(BOUND) == 0


def test_all_that_a_publisher_sent_is_written_though_it_has_closed(
    plain: Make,
) -> None:
    publisher, there = plain(zmq.XPUB, sndhwm=0, linger=10_000)
    with start("sub", "-c", there, "--count", 900) as subscriber:
        assert publisher.recv() == b"\1"
        for number in range(900):
            publisher.send(b"%d" % number)
        publisher.close()
        out, err = subscriber.communicate(timeout=BOUND / 2)  # and it does not linger for 30 s
        assert (out.split(), err) == ([b"%d" % number for number in range(900)], b"")


def test_dealer_and_router_talk(plain: Make) -> None:
    router, there = plain(zmq.ROUTER)
    with start("dealer", "-c", there, "--json", "--count", 1) as dealer:
        dealer.stdin.write(b'{"parts": ["hello", "you"]}\n')
        dealer.stdin.flush()
        assert router.poll(BOUND * 1000)
        peer, *parts = router.recv_multipart()
        assert parts == [b"hello", b"you"]
        router.send_multipart([peer, b"bye"])
        assert dealer.communicate(timeout=BOUND) == (b'{"parts": ["bye"]}\n', b"")


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_ctrl_c_and_a_reader_that_goes(plain: Make) -> None:
    pusher, there = plain(zmq.PUSH)
    with start("pull", "-c", there) as puller:
        pusher.send(b"x")
        assert puller.stdout.readline() == b"x\n"
        puller.send_signal(2)
        assert puller.communicate(timeout=BOUND) == (b"", b"")
        assert puller.returncode == 130
    with start("pull", "-c", there) as puller:
        pusher.send(b"x")
        assert puller.stdout.readline() == b"x\n"
        puller.stdout.close()
        end = time.monotonic() + BOUND
        while puller.poll() is None and time.monotonic() < end:
            if pusher.poll(10, zmq.POLLOUT):
                with contextlib.suppress(zmq.Again):
                    pusher.send(b"x", zmq.DONTWAIT)
        assert (puller.returncode, puller.stderr.read()) == (141, b"")


def test_keys_are_their_owners_and_open_a_server(tmp_path: Path) -> None:
    status, out, err = run("keygen", "server", "--folder", tmp_path)
    assert (status, err) == (0, b"")
    public, secret = tmp_path / "server.key", tmp_path / "server.key_secret"
    assert out.decode().split() == [str(public), str(secret)]
    if os.name == "posix":
        assert secret.stat().st_mode & 0o077 == 0
    assert run("keygen", "server", "--folder", tmp_path)[0] == 1  # nothing is overwritten
    with socket.create_server(("127.0.0.1", 0)) as free:
        there = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with start("pull", "-b", there, "--count", 1, "--curve", secret) as puller:
        assert run("push", "-c", there, "--curve", public, given=b"sealed\n")[0] == 0
        assert puller.communicate(timeout=BOUND) == (b"sealed\n", b"")


def test_keys_go_into_a_folder_that_is_made_for_them(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "clients"
    assert run("keygen", "alice", "--folder", folder)[0] == 0
    assert sorted(each.name for each in folder.iterdir()) == ["alice.key", "alice.key_secret"]
    status, out, err = run("keygen", "bob", "--folder", folder / "alice.key")
    assert (status, out) == (1, b"")
    assert b"alice.key: File exists" in err


def test_half_a_pair_of_keys_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "mine.key_secret").write_text("kept")
    status, out, err = run("keygen", "mine", "--folder", tmp_path)
    assert (status, out, b"mine.key_secret: File exists" in err) == (1, b"", True)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.key_secret"]
    assert (tmp_path / "mine.key_secret").read_text() == "kept"


# Proxies that print, and figures.


def between(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """The addresses of the front and the back that a proxy has said."""
    line = process.stderr.readline().decode()
    return line.split("front ")[1].split(";")[0], line.split("back ")[1].split(";")[0].strip()


HERE = "tcp://127.0.0.1:*"


def test_a_tap_prints_what_passes_it_and_changes_nothing() -> None:
    # With the third that it prints it hangs up, and a reply that is on its way may be lost.
    with start("tap", "requests", HERE, HERE, "--json", "--count", 3) as tap:
        front, back = between(tap)
        with start("rep", "-c", back, "pong") as server:
            assert run("req", "-c", front, "--timeout", 20, given=b"ping\n") == (0, b"pong\n", b"")
            with asks_once_more(front, b"more"):
                out, err = tap.communicate(timeout=BOUND)
            server.kill()
    request, reply, _ = map(json.loads, out.splitlines())
    assert (tap.returncode, err) == (0, b"")
    assert request["parts"][-2:] == ["", "ping"]
    assert reply["parts"] == [*request["parts"][:-1], "pong"]
    assert abs(request["at"] - time.time()) < 60


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_a_tap_whose_output_nobody_reads_holds_up_nobody() -> None:
    with start("tap", "pipeline", HERE, HERE) as tap:
        front, back = between(tap)
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.linger = 0
            push.connect(front)
            with context.socket(zmq.PULL) as pull:
                pull.connect(back)
                for number in range(5000):
                    push.send(b"%d" % number + 1000 * b" ")
                    assert int(pull.recv()) == number
        tap.send_signal(15)
        assert tap.wait(BOUND) == 0
        out, err = tap.communicate(timeout=BOUND)
    missed = int(err.split()[-1])
    assert 0 < missed <= 5000  # all, if a first burst was longer than the pipe
    assert 0 < out.count(b"\n") < 5000


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_ctrl_c_twice_ends_a_command_whose_output_nobody_reads(plain: Make) -> None:
    push, there = plain(zmq.PUSH)
    with start("pull", "-c", there) as puller:
        assert push.poll(BOUND * 1000, zmq.POLLOUT)  # it has begun
        while push.poll(500, zmq.POLLOUT):
            push.send(10_000 * b"x")
        puller.send_signal(2)
        assert b"Ctrl-C once more drops it" in puller.stderr.readline()
        puller.send_signal(2)
        assert puller.wait(BOUND) == 130
        puller.stdout.read()


def test_a_tap_whose_reader_goes() -> None:
    with start("tap", "pipeline", HERE, HERE) as tap:
        front, back = between(tap)
        tap.stdout.close()
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.linger = 0
            push.connect(front)
            with context.socket(zmq.PULL) as pull:
                pull.connect(back)
                push.send(b"x")
                assert pull.recv() == b"x"
                assert tap.wait(BOUND) == 141


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_a_proxy_at_the_shell_says_how_it_ended() -> None:
    for command in ("proxy", "tap"):
        for number, status in ((2, 130), (15, 0)):
            with start(command, "pubsub", HERE, HERE) as process:
                between(process)
                process.send_signal(number)
                assert process.communicate(timeout=BOUND) == (b"", b"")
                assert process.returncode == status
        status, out, err = run(command, "pubsub", "5555", HERE)
        assert (status, out) == (2, b"")
        assert err.startswith(b"zmqbridge %b: '5555': write it as" % command.encode())


@pytest.mark.parametrize("pattern", ["push", "req", "req-many"])
def test_a_measurement_has_figures(pattern: str) -> None:
    status, out, err = run("bench", pattern, "--count", 300, "--size", 10, "--json")
    assert (status, err) == (0, b"")
    figures = json.loads(out)
    assert (figures["pattern"], figures["bytes"], figures["messages"]) == (pattern, 10, 300)
    assert figures["per_second"] > 0
    if pattern == "req":
        assert 0 < figures["median_us"] <= figures["p99_us"] <= figures["longest_us"]


# What went wrong is said.


def test_why_nobody_takes_it(plain: Make, tmp_path: Path) -> None:
    assert run("keygen", "wrong", "--folder", tmp_path)[0] == 0
    _, secret = zmq.curve_keypair()
    _, there = plain(zmq.PULL, curve_server=True, curve_secretkey=secret)
    key = tmp_path / "wrong.key"
    with start("push", "-c", there, "--curve", key, "--timeout", 1) as refused:
        refused.stdin.write(b"x\n")
        refused.stdin.flush()
        few = {"rcvhwm": 1, "rcvbuf": 4096}
        _, there = plain(zmq.PULL, **few)
        given = b"\n".join([10_000 * b"x"] * 3000)
        status, _, err = run("push", "-c", there, "--timeout", SILENCE, given=given)
        told = b"not all was sent: no peer takes it (the peers do not read)\n"
        assert (status, err) == (1, told)
        _, err = refused.communicate(timeout=BOUND)
    assert (refused.returncode, b"no peer takes it (" in err) == (1, True)
    assert b"no peer is there" not in err


def test_a_request_that_fails_is_named_by_its_line_and_the_others_go_on(plain: Make) -> None:
    server, there = plain(zmq.ROUTER)
    with start("req", "-c", there, "--timeout", 2) as asking:
        asking.stdin.write(b"a\nb\nc\n")
        asking.stdin.flush()
        for part in (b"a", b"b", b"c"):
            assert server.poll(BOUND * 1000)
            message = server.recv_multipart()
            assert message[-1] == part
            if part != b"b":
                server.send_multipart(message)
        out, err = asking.communicate(timeout=BOUND)
    assert (asking.returncode, out) == (1, b"a\nc\n")
    assert err.startswith(b"line 2: no reply in time")
    assert err.count(b"\n") == 1


def test_a_router_goes_on_after_a_peer_that_is_not_there(plain: Make) -> None:
    dealer, there = plain(zmq.DEALER, routing_id=b"me")
    lines = [b'{"peer": "nobody", "parts": ["lost"]}', b'{"peer": "me", "parts": ["found"]}']
    with start("router", "-c", there, "--json", "--count", 2) as router:
        dealer.send(b"hello")
        assert router.stdout.readline() == b'{"peer": "me", "parts": ["hello"]}\n'
        router.stdin.write(b"\n".join(lines))
        router.stdin.close()
        assert dealer.poll(BOUND * 1000)
        assert dealer.recv() == b"found"
        dealer.send(b"bye")
        assert router.wait(BOUND) == 1
        assert router.stderr.read().startswith(b"line 1: no peer b'nobody' is connected")


def test_a_malformed_message_is_a_line_and_no_traceback(plain: Make) -> None:
    dealer, there = plain(zmq.DEALER)
    with start("rep", "-c", there, "--count", 1) as server:
        dealer.send_multipart([b"id", b"no empty part"])
        dealer.send_multipart([b"id", b"", b"good"])
        assert dealer.recv_multipart() == [b"id", b"", b"good"]
        out, err = server.communicate(timeout=BOUND)
    assert (out, err.count(b"\n")) == (b"good\n", 1), err
    assert err.startswith(b"zmqbridge rep: ")


def all_is_read(pipe: Any) -> None:
    """Wait until a process has read what was written to it."""
    import fcntl
    import termios

    end = time.monotonic() + BOUND
    while any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))):
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_ctrl_c_with_messages_that_nobody_takes_says_what_it_waits_for(address: str) -> None:
    with start("push", "-b", address) as pusher:
        pusher.stdin.write(b"x\n")
        pusher.stdin.flush()
        with start("pull", "-c", address, "--count", 1) as puller:
            assert puller.wait(BOUND) == 0  # so it has read the first line
        for _ in range(2):  # when the second lot is read, the first one is handed over
            pusher.stdin.write(b"y\n" * 5)
            pusher.stdin.flush()
            all_is_read(pusher.stdin)
        pusher.send_signal(2)
        line = pusher.stderr.readline()
        assert (
            line == b"zmqbridge push: what was sent has 30 s to leave; Ctrl-C once more drops it\n"
        )
        pusher.send_signal(2)
        assert pusher.wait(BOUND) == 130
        assert pusher.stderr.read() == b""


def test_a_server_lets_in_whom_it_knows_and_nobody_else(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    for name, folder in (("server", tmp_path), ("alice", known), ("bob", tmp_path)):
        assert run("keygen", name, "--folder", folder)[0] == 0
    secret, public = tmp_path / "server.key_secret", tmp_path / "server.key"
    alice, bob = known / "alice.key_secret", tmp_path / "bob.key_secret"
    with start(
        "proxy", "pipeline", HERE, HERE, "--curve-front", secret, "--clients", known
    ) as proxy:
        front, back = between(proxy)
        with start("pull", "-c", back, "--count", 1) as puller:
            for own in (["--own-key", bob], []):
                status, out, err = run(
                    "push", "-c", front, "--curve", public, *own, "--timeout", 1, given=b"x\n"
                )
                assert (status, out) == (1, b"")
                assert b"the server does not let these credentials in" in err
            pinged = run("ping", front, "--curve", public, "--timeout", 20, "--own-key", alice)
            assert pinged[0] == 0, pinged
            done = run("push", "-c", front, "--curve", public, "--own-key", alice, given=b"hi\n")
            assert done == (0, b"", b"")
            assert puller.communicate(timeout=BOUND) == (b"hi\n", b"")
        proxy.send_signal(15)
        assert proxy.wait(BOUND) == 0
    with start("pull", "-b", back, "--curve", secret, "--clients", known, "--count", 1) as puller:
        done = run("push", "-c", back, "--curve", public, "--own-key", alice, given=b"hi\n")
        assert done == (0, b"", b"")
        assert puller.communicate(timeout=BOUND) == (b"hi\n", b"")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pull", "-b", HERE, "--clients", "."], b"--clients .: the side that binds must have"),
        (["push", "-c", "tcp://h:1", "--own-key", "x"], b"--own-key x: the side that connects"),
        (["proxy", "pubsub", HERE, HERE, "--clients", "."], b"--clients .: the side that binds"),
        (["proxy", "pubsub", HERE, HERE, "--curve-back", "k.key_secret", "--own-key", "k.key"],
         b"--own-key k.key: the side that connects"),
        (["pull", "-b", HERE, "--curve", "k.key_secret", "--clients", "nowhere"], b"nowhere"),
        (["tap", "pubsub", HERE, HERE, "--curve-front", "k.key_secret", "--clients", "nowhere"],
         b"nowhere"),
        (["push", "-c", "tcp://h:1", "--curve", "k.key", "--own-key", "k.key"],
         b"the file with the secret key is needed"),
        (["pull", "-b", HERE, "--curve", "k.key"], b"the file with the secret key is needed"),
    ],
)  # fmt: skip
def test_keys_that_are_given_to_no_purpose_are_not_left_unused(
    address: str, words: list[str], hint: bytes
) -> None:
    assert run("keygen", "k")[0] == 0
    status, out, err = run(*words)
    assert (status, out, err.count(b"\n")) == (2, b"", 1), err
    assert hint in err


def test_a_proxy_holds_as_many_messages_as_it_may() -> None:
    with start("proxy", "pipeline", HERE, HERE, "--mark", 1) as proxy:
        front, back = between(proxy)
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.linger, push.sndhwm, push.sndbuf = 0, 1, 4096
            push.connect(front)
            with context.socket(zmq.PULL) as pull:  # which reads nothing
                pull.linger, pull.rcvhwm, pull.rcvbuf = 0, 1, 4096
                pull.connect(back)
                sent = 0
                while push.poll(500, zmq.POLLOUT):
                    push.send(bytes(1_000_000))  # so that the kernel holds few
                    sent += 1
        assert 0 < sent < 100  # it would be 2,000 and more
        proxy.send_signal(15)
        assert proxy.wait(BOUND) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_a_proxy_that_is_told_to_end_again_and_again_ends_as_it_was_told_first() -> None:
    with start("proxy", "pipeline", HERE, HERE) as proxy:
        between(proxy)
        proxy.send_signal(15)
        while proxy.poll() is None:
            proxy.send_signal(15)
            time.sleep(0.02)
        assert proxy.returncode in (0, 130)  # 130 if it came while the proxy was ending


def test_an_address_in_the_wrong_place_is_told_the_right_one(address: str) -> None:
    for words in ("sub", "-c", address, "tcp://h:1"), ("pub", "tcp://h:1", "-b", address):
        status, out, err = run(*words)
        assert (status, out) == (2, b"")
        assert err.endswith(b": tcp://h:1 is an address: give it by -c or -b\n")
    status, out, err = run("push", "tcp://h:1")
    assert (status, out) == (2, b"")
    assert err.endswith(b"give an address by -c to connect, or by -b to bind\n")


def test_a_dealer_has_the_name_that_it_was_given(plain: Make) -> None:
    router, there = plain(zmq.ROUTER)
    with start("dealer", "-c", there, "--id", "kitchen", "--count", 1) as dealer:
        dealer.stdin.write(b"hello\n")
        dealer.stdin.flush()
        assert router.poll(BOUND * 1000)
        assert router.recv_multipart() == [b"kitchen", b"hello"]
        router.send_multipart([b"kitchen", b"bye"])
        assert dealer.communicate(timeout=BOUND) == (b"bye\n", b"")


def test_a_line_of_thirty_megabytes_is_read_in_time_that_grows_with_it(plain: Make) -> None:
    puller, there = plain(zmq.PULL)
    used = []
    for size in 3_000_000, 30_000_000:
        before = os.times().children_user
        assert run("push", "-c", there, given=b"a" * size)[0] == 0
        used.append(os.times().children_user - before)
        assert len(puller.recv()) == size
    assert used[1] < used[0] + 2  # seconds; it was 4 and more, of CPU alone


@pytest.mark.parametrize("command", [*SOCKETS, "ping", "proxy", "tap", "bench", "keygen"])
def test_help_is_as_wide_as_the_terminal(command: str) -> None:
    with start(command, "--help", env={**os.environ, "COLUMNS": "60"}) as process:
        out, _ = process.communicate(timeout=BOUND)
    lines = out.decode().splitlines()
    assert max(len(line) for line in lines if not line.startswith("example:")) <= 60


# What may be given, and how.


@pytest.mark.parametrize(
    "words",
    [
        ("-c", None, "clock", "news", "--count", 2),
        ("clock", "-c", None, "--count", 2, "news"),
        ("-c", None, "--count", 2, "--lines", "clock", "news"),
    ],
)
def test_tags_come_before_options_or_after_them(
    plain: Make,
    words: tuple[str, str | None, str | None, int | str, int | str, int | str],
) -> None:
    publisher, there = plain(zmq.XPUB)
    with start("sub", *[there if word is None else word for word in words]) as subscriber:
        assert sorted(publisher.recv() for _ in range(2)) == [b"\1clock", b"\1news"]
        publisher.send(b"clock\0tick")
        publisher.send(b"news\0new")
        assert subscriber.communicate(timeout=BOUND) == (b"clock\ttick\nnews\tnew\n", b"")


def test_a_tag_that_is_given_twice(address: str) -> None:
    with start("pub", "-b", address, "clock", "--json") as publisher:
        with start("sub", "-c", address) as subscriber:
            given = b'{"tag": "other", "parts": ["x"]}\n'
            out, err = publisher.communicate(given, timeout=BOUND)
            subscriber.kill()
    assert (publisher.returncode, out) == (2, b"")
    assert err.startswith(b"zmqbridge pub: line 1: the tag is an argument of the command already")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_addresses_of_ipv6(plain: Make) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        there = f"tcp://[::1]:{free.getsockname()[1]}"
    with start("pull", "-b", there, "--count", 1) as puller:
        assert run("push", "-c", there, given=b"six\n") == (0, b"", b"")
        assert puller.communicate(timeout=BOUND) == (b"six\n", b"")
    with start("pull", "-b", there) as puller:
        end = time.monotonic() + BOUND
        while (pinged := run("ping", there))[0] == 2:
            assert time.monotonic() < end
        assert (pinged[0], b"PULL; a PUSH may connect" in pinged[1]) == (0, True)
        puller.kill()


@pytest.mark.parametrize("words", [("--help",), ("pull", "--help"), ("push", "-b", "tcp://ü:1")])
def test_a_terminal_that_knows_ascii_only(words: tuple[str, ...]) -> None:
    with start(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"}) as process:
        _, err = process.communicate(timeout=BOUND)
    assert b"Traceback" not in err
    assert process.returncode == (0 if "--help" in words else 2)
    assert not err or b"\\xfc" in err


# Ping.


@pytest.mark.parametrize(
    ("kind", "role", "partners"),
    [
        ("ROUTER", "DEALER", "a DEALER or ROUTER or REQ"),
        ("PUB", "SUB", "a SUB or XSUB"),
        ("PULL", "PUSH", "a PUSH"),
        ("REP", "REQ", "a REQ or DEALER"),
        ("XSUB", "XPUB", "a PUB or XPUB"),
        ("PAIR", "PAIR", "a PAIR"),
    ],
)
def test_what_is_there_and_who_may_connect(
    plain: Make, kind: str, role: str, partners: str
) -> None:
    _, there = plain(getattr(zmq, kind))
    wanted = f"{there}: ZMTP 3.1, NULL, {kind}; {partners} may connect\n"
    assert run("ping", there) == (0, wanted.encode(), b"")
    assert run("ping", there, "--as", role)[0] == 0
    status, out, err = run("ping", there, "--as", "PUSH" if kind != "PULL" else "SUB")
    assert (status, out) == (1, b"")
    assert b"may not connect" in err


MECHANISMS: dict[str, tuple[dict[str, Any], str]] = {
    "NULL": ({}, "may connect"),
    "PLAIN": ({"plain_server": True}, "it wants a user name and a password"),
    "CURVE": (
        {"curve_server": True, "curve_secretkey": zmq.curve_keypair()[1]},
        "clients need its public key",
    ),
}
# ZMTP 2.0 as libzmq 3 begins, with the type of the socket and its identity; ZMTP 1.0.
OLDER = {
    "2.0": b"\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0",
    "1.0": b"\1\0",
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("kind", TYPES)
def test_ping_knows_each_type_with_each_mechanism(
    plain: Make, capsys: pytest.CaptureFixture[str], kind: str, mechanism: str
) -> None:
    from zmqbridge._cli.ping import run as ping

    options, said = MECHANISMS[mechanism]
    _, there = plain(getattr(zmq, kind), **options)
    status = ping(there, None, 20.0, None)
    out, err = capsys.readouterr()
    assert (out or err).startswith(f"{there}: ZMTP 3.1, {mechanism}")
    assert said in (out or err)
    assert status == (0 if mechanism == "NULL" else 1)
    if mechanism == "NULL":
        assert f"NULL, {kind}; a" in out


@pytest.mark.parametrize("version", OLDER)
def test_ping_knows_older_versions(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    from zmqbridge._cli.ping import run as ping

    there, listener = speaks(None, at_once=OLDER[version])
    with listener:
        assert ping(there, None, 20.0, None) == 0
    assert f"ZMTP {version}, which knows no security" in capsys.readouterr().out


def test_a_routing_id_is_shown(plain: Make) -> None:
    for identity, shown in (b"node-7", "node-7"), (b"\1\xff", "01ff"):
        _, there = plain(zmq.DEALER, routing_id=identity)
        assert f"routing id {shown};" in run("ping", there)[1].decode()


def test_a_server_that_wants_to_know_who_comes(plain: Make, tmp_path: Path) -> None:
    _, there = plain(zmq.PULL, plain_server=True)
    status, _, err = run("ping", there)
    assert (status, b"PLAIN; it wants a user name" in err) == (1, True)
    public, secret = zmq.curve_keypair()
    _, there = plain(zmq.PUB, curve_server=True, curve_secretkey=secret)
    status, _, err = run("ping", there)
    assert (status, b"CURVE; clients need its public key" in err) == (1, True)
    right = tmp_path / "right.key"
    right.write_text(f'metadata\ncurve\n    public-key = "{public.decode()}"\n')
    status, out, err = run("ping", there, "--curve", right, "--timeout", BOUND)
    assert (status, b"the key is right, a SUB may connect" in out) == (0, True), err
    assert run("keygen", "wrong", "--folder", tmp_path)[0] == 0
    status, _, err = run("ping", there, "--curve", tmp_path / "wrong.key", "--timeout", BOUND)
    assert (status, b"is not let in" in err) == (1, True)


def speaks(
    answer: bytes | None, at_once: bytes = b"", drip: float = 0.0
) -> tuple[str, socket.socket]:
    """The address of a server that answers each line like this, and the server.

    Or it says something at once, by itself, and again and again.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.sendall(at_once)
                while drip:
                    time.sleep(drip)
                    connection.sendall(b"\0")
                heard = b""
                while answer is None or not heard.endswith(b"\r\n\r\n"):
                    try:
                        more = connection.recv(4096)
                    except OSError:
                        break
                    if not more:
                        break
                    heard += more
                else:
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.mark.parametrize(
    ("answer", "name"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"an HTTP server"), (None, b"says nothing")],
)
def test_what_is_not_zeromq(answer: bytes | None, name: bytes) -> None:
    there, listener = speaks(answer)
    with listener:
        status, out, err = run("ping", there, "--timeout", SILENCE)
    assert (status, out) == (3, b"")
    assert name in err


def test_a_server_that_is_slow_or_says_odd_things(plain: Make) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\3\1" + b"\x1b[31mX".ljust(20, b"\0") + bytes(32)
    there, listener = speaks(None, at_once=greeting)
    with listener:
        status, out, err = run("ping", there)
    assert (status, out) == (1, b"")
    assert b"\x1b" not in err
    assert b"\\x1b[31mX" in err
    there, listener = speaks(None, at_once=b"\xff", drip=0.2)
    with listener:
        began = time.monotonic()
        assert run("ping", there, "--timeout", 1)[0] == 3
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_the_time_is_for_all_that_it_tries(answer: bytes | None) -> None:
    from zmqbridge._cli.ping import run as ping

    there, listener = speaks(answer)
    took: list[float] = []
    with listener:
        while not took or (min(took) > 1.5 and len(took) < 3):  # others may hold it up
            began = time.monotonic()
            assert ping(there, None, 1.0, None) == 3
            took.append(time.monotonic() - began)
    assert min(took) < 1.5


def test_where_nobody_listens(address: str) -> None:
    assert run("ping", address)[0] == 2
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    status, out, err = run("ping", f"tcp://127.0.0.1:{port}")
    assert (status, out) == (2, b"")
    assert b"nothing listens there: Connection refused" in err


# What strangers met at a shell.


def listening(process: Command) -> str:
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert line.startswith("listening at tcp://127.0.0.1:"), line
    return line.split()[-1]


def test_a_server_at_the_shell_outlives_clients_that_leave_or_do_not_read(plain: Make) -> None:
    quiet = {"stdout": subprocess.DEVNULL}
    with start("rep", "-b", "tcp://127.0.0.1:*", **quiet) as rep, zmq.Context() as context:
        there = listening(rep)
        # Nobody takes the replies: their client is gone, or reads none of them.
        stalled = context.socket(zmq.DEALER)
        stalled.linger, stalled.rcvhwm, stalled.rcvbuf, stalled.sndhwm = 0, 1, 4096, 0
        stalled.connect(there)
        for _ in range(8000):
            stalled.send_multipart([b"", bytes(2000)])
        gone = context.socket(zmq.DEALER)
        gone.linger, gone.sndhwm = BOUND * 1000, 0
        gone.connect(there)
        for _ in range(2000):
            gone.send_multipart([b"", b"x"])
        gone.close(linger=BOUND * 1000)
        assert run("req", "-c", there, "--timeout", BOUND, given=b"hi\n") == (0, b"hi\n", b"")
        assert rep.poll() is None
        stalled.close(linger=0)
        assert run("req", "-c", there, "--timeout", BOUND, given=b"hi\n") == (0, b"hi\n", b"")
        rep.send_signal(signal.SIGKILL)
        rep.wait(BOUND)
        said = rep.stderr.read() if rep.stderr else b""
        assert said.count(b"no reply to one client") <= 2, said


@pytest.mark.parametrize("command", ["sub", "pull", "dealer"])
def test_a_receiver_that_gets_nothing_says_why(
    command: str, plain: Make, tmp_path: Path, address: str
) -> None:
    status, _, err = run(command, "-c", address, "--timeout", SILENCE)
    assert (status, b"nothing came within 0.5 s (no peer is there)" in err) == (1, True), err
    kind = {"sub": zmq.PUB, "pull": zmq.PUSH, "dealer": zmq.ROUTER}[command]
    public, secret = zmq.curve_keypair()
    _, secured = plain(kind, curve_server=True, curve_secretkey=secret, curve_publickey=public)
    _, other = plain(zmq.PAIR)
    for there, why in (secured, b"no handshake with"), (other, b"type does not fit"):
        with start(command, "-c", there) as process:
            assert process.stderr is not None
            assert why in process.stderr.readline()
            process.kill()


def test_a_sender_without_a_timeout_says_what_it_waits_for(address: str) -> None:
    with start("push", "-c", address) as pusher:
        assert pusher.stdin is not None
        pusher.stdin.write(b"x\n")
        pusher.stdin.flush()
        assert pusher.stderr is not None
        assert pusher.stderr.readline() == b"waiting: no peer is there\n"
        pusher.kill()


def test_a_rate_is_reached(plain: Make) -> None:
    pull, there = plain(zmq.PULL, rcvhwm=0)
    lines = b"".join(b"%d\n" % number for number in range(2000))
    began = time.monotonic()
    assert run("push", "-c", there, "--rate", 4000, given=lines)[0] == 0
    took = time.monotonic() - began
    assert took > 0.4  # 0.5 less what may be caught up
    for number in range(2000):
        assert pull.poll(BOUND * 1000)
        assert pull.recv() == b"%d" % number


def test_a_bench_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    with start("bench", "push", "--count", 10**9) as bench:
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        if not children.exists():
            bench.kill()
            pytest.skip("children are found in /proc")
        end = time.monotonic() + BOUND
        peers: list[str] = []
        while not any("spawn_main" in command_of(each) for each in peers):
            assert time.monotonic() < end
            peers = children.read_text().split()
            time.sleep(0.02)
        bench.send_signal(signal.SIGKILL)
        bench.wait(BOUND)
        while any("spawn_main" in command_of(each) for each in peers):
            assert time.monotonic() < end
            time.sleep(0.02)


def command_of(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_sigterm_lets_what_was_sent_leave_and_has_its_own_status(plain: Make) -> None:
    with start("pull", "-b", "tcp://127.0.0.1:*") as puller:
        listening(puller)
        puller.send_signal(signal.SIGTERM)
        assert puller.wait(BOUND) == 128 + signal.SIGTERM


def test_a_refused_request_is_a_failure_and_no_misuse(plain: Make) -> None:
    public, secret = zmq.curve_keypair()
    _, there = plain(zmq.REP, curve_server=True, curve_secretkey=secret, curve_publickey=public)
    status, out, err = run("req", "-c", there, "--timeout", 20, given=b"x\n")
    assert (status, out) == (1, b"")
    assert b"line 1: " in err


@pytest.mark.parametrize(
    ("words", "given", "hint"),
    [
        (["router", "--json"], b'{"parts": ["x"]}', b"line 1 names no peer: it is the first word"),
        (["pub", "--json"], b'{"tag": "t", "parts": ["x", "y"]}', b"line 1: a publication has one"),
        (["pub", "--json"], b'{"tag": "t\\u0000", "parts": ["x"]}', b"line 1: a tag has no NUL"),
    ],
)
def test_a_line_that_cannot_be_sent_is_named(
    words: list[str], given: bytes, hint: bytes, plain: Make
) -> None:
    _, there = plain(zmq.DEALER if words[0] == "router" else zmq.SUB)
    status, _, err = run(*words, "-c", there, "--timeout", 20, given=given + b"\n")
    assert (status, hint in err) == (2, True), err


def test_a_pair_of_keys_has_a_name() -> None:
    status, _, err = run("keygen", "")
    assert (status, err.count(b"\n")) == (2, 1)
    assert b"is no name of a file" in err
