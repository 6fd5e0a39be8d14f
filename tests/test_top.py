"""`zmqbridge top`, and `zmqbridge.tools.offer`, which answers it, on every loop."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge.core import Statistics
from zmqbridge.tools import offer

if TYPE_CHECKING:
    from tests.conftest import World

BOUND = 50  # seconds


def top(*arguments: object, code: int = 0) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zmqbridge", "top", *map(str, arguments)],
        capture_output=True, text=True, timeout=BOUND,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.splitlines()


@contextmanager
def answering(address: str, *replies: bytes) -> Iterator[None]:
    """A plain replier that gives these replies."""

    def answer() -> None:
        with context.socket(zmq.REP) as socket:
            socket.bind(address)
            there.set()
            for reply in replies:
                assert socket.poll(BOUND * 1000)
                socket.recv_multipart()
                socket.send(reply)
            finished.wait(BOUND)  # who hangs up with the last reply takes it along

    there, finished = threading.Event(), threading.Event()
    with zmq.Context() as context:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert there.wait(BOUND)
            yield
        finally:
            finished.set()
            thread.join()


def told(pid: int = 7, program: str = "shop.py", **counts: int) -> bytes:
    jobs = {"pattern": "Puller", **Statistics(0, 0, 0, 0, 0, 0, 0, 0)._asdict(), **counts}
    return json.dumps({"program": program, "pid": pid, "sockets": {"jobs": jobs}}).encode()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return "ipc://it"


async def test_a_program_tells_what_its_sockets_count(w: World) -> None:
    here = "tcp://127.0.0.1:*"
    async with w.Puller(bind=here) as puller, w.Replier(bind=here) as replier:
        async with w.Pusher(connect=puller.addresses) as pusher:
            serving = w.spawn(replier.serve(offer({"jobs": puller, "out": pusher})))
            await pusher.push(b"job")
            await puller.receive()
            async with w.Requester(connect=replier.addresses, timeout=BOUND) as requester:
                (reply,) = await requester.request(b"?")
                told = json.loads(reply)
                assert told["sockets"]["jobs"] == {
                    "pattern": "Puller",
                    **puller.statistics()._asdict(),
                }
                assert told["sockets"]["out"]["sent"] == 1
                assert told["pid"]
        replier.close()
        await serving


def test_a_socket_that_is_gone_is_no_longer_told_of() -> None:
    class Counted:
        def statistics(self) -> Statistics:
            return Statistics(1, 2, 3, 4, 5, 6, 7, 8)

    class Asked:
        def reply(self, *parts: bytes) -> Any:
            return json.loads(parts[0])["sockets"]

    counted = Counted()
    answer = offer({"it": counted})
    assert answer(Asked())["it"]["received"] == 2
    del counted
    gc.collect()
    assert answer(Asked()) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1], "sockets is a list: give names"),
        ({1: None}, "1 is a int: a name is a str"),
        ({"it": object()}, "'it' is a object: give a socket or a connection"),
    ],
)
def test_what_has_no_statistics_is_refused(given: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        offer(given)


async def test_a_proxy_is_refused_as_its_statistics_come_later(w: World) -> None:
    here = "tcp://127.0.0.1:*"
    async with w.Proxy("pipeline", here, here) as proxy:
        with pytest.raises(TypeError, match="'it' is a Proxy: give a socket"):
            offer({"it": proxy})


def test_it_shows_counts_and_what_happens_in_a_second(address: str) -> None:
    with answering(address, told(received=1000), told(received=9000, dropped=2, refused=3, lost=4)):
        lines = top(address, "--count", 2, "--every", 0.5, "--timeout", BOUND)
    assert lines[0] == lines[3] == "ipc://it: shop.py, process 7"
    assert lines[1].split()[:4] == ["socket", "pattern", "received", "in/s"]
    assert lines[2].split() == ["jobs", "Puller", "1,000", "–", "0", "–", "0", "0", "0"]
    name, pattern, received, rate, *_, lost = lines[5].split()
    assert (name, pattern, received, lost) == ("jobs", "Puller", "9,000", "9")
    assert 0 < int(rate.replace(",", "")) <= 16_000
    assert max(map(len, lines)) < 80


def test_json_has_all_that_the_program_has_told(address: str) -> None:
    with answering(address, told(received=5)):
        (line,) = top(address, "--count", 1, "--timeout", BOUND, "--json")
    given = json.loads(line)
    assert given.pop("at") > 1e9
    assert given.pop("address") == address
    assert given == json.loads(told(received=5))


def test_who_does_not_answer_is_named_and_the_status_says_so(address: str) -> None:
    with answering(address, told()):
        lines = top(address, "ipc://nobody", "--count", 1, "--timeout", 2, code=1)
    assert lines[0] == "ipc://it: shop.py, process 7"
    assert lines[-1].startswith("ipc://nobody: no reply in time")


@pytest.mark.parametrize(
    "reply",
    [b"", b"\xff", b"[1]", b'{"sockets": {}}', b"[" * 5000, told(received="x"), told(pid=None)],  # type: ignore[arg-type]
    ids=["empty", "binary", "list", "no-program", "deep", "text", "no-pid"],
)
def test_what_is_no_statistics_is_said_to_be_none(address: str, reply: bytes) -> None:
    with answering(address, reply):
        (line,) = top(address, "--count", 1, "--timeout", BOUND, code=1)
    assert "does not offer statistics: see zmqbridge.tools.offer" in line


def test_what_a_program_says_does_nothing_to_the_terminal(address: str) -> None:
    with answering(address, told(program="\x1b[2Jx")):
        lines = top(address, "--count", 1, "--timeout", BOUND)
    assert lines[0] == "ipc://it: \\x1b[2Jx, process 7"
