"""Proxies as they are deployed: two brokers and four workers in processes, hosts of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.internet import defer
from twisted.plugin import getPlugins
from zmq.auth import load_certificate
from zope.interface.verify import verifyObject

from zmqbridge import HandshakeFailed
from zmqbridge._cli.keygen import run as make_keys
from zmqbridge.proxies import Side
from zmqbridge.security import CurveClient
from zmqbridge.twisted_backend.proxyservice import Options, ProxyService, makeService

if TYPE_CHECKING:
    from tests.conftest import World

EXAMPLE = Path(__file__).parents[1] / "examples" / "deployment"
BOUND = 40  # seconds
CLI = [sys.executable, "-W", "error", "-m", "zmqbridge", "proxy"]
TWIST = [
    sys.executable,
    "-u",
    "-X",
    "faulthandler",
    "-m",
    "twisted",
    "--log-format=text",
    "zmq-proxy",
]


@pytest.fixture
def processes() -> Iterator[Callable[..., Any]]:
    with contextlib.ExitStack() as stack:

        def start(*command: Any, **options: Any) -> subprocess.Popen[str]:
            pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(
                subprocess.Popen([str(each) for each in command], **{**pipes, **options})
            )
            stack.callback(process.kill)
            return process

        yield start


def line_with(stream: Any, pattern: str) -> re.Match[str]:
    """The first line that matches."""
    for line in stream:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"no line with {pattern}")


FREE = "tcp://127.0.0.1:*"
SIDES = ["-f", FREE, "-b", FREE]


def broker_cli(
    start: Callable[..., Any],
    front: str = FREE,
    back: str = FREE,
    before: list[str] | tuple[Any, ...] = (),
) -> tuple[subprocess.Popen[str], str, str]:
    broker = start(*before, *CLI, "requests", front, back, "--statistics", 3600)
    found = line_with(broker.stderr, r"front (\S+); back (\S+)")
    return broker, found[1], found[2]


def broker_twist(
    start: Callable[..., Any], front: str = FREE, back: str = FREE, before: tuple[Any, ...] = ()
) -> tuple[subprocess.Popen[str], str, str]:
    broker = start(*before, *TWIST, "--front", front, "--back", back)
    found = line_with(broker.stdout, r"requests from (\S+) to (\S+)")
    return broker, found[1], found[2]


def test_two_brokers_and_four_workers_one_of_each_may_go(processes: Callable[..., Any]) -> None:
    one, front_one, back_one = broker_cli(processes)
    two, front_two, back_two = broker_twist(processes)
    workers = [processes(sys.executable, EXAMPLE / "worker.py", back_one, back_two) for _ in "1234"]

    def ask(*fronts: str) -> set[int]:
        client = processes(sys.executable, EXAMPLE / "client.py", *fronts, "--count", 200)
        out, err = client.communicate(timeout=BOUND)
        assert (client.returncode, err) == (0, "")
        answers = dict(re.findall(r"worker (\d+): (\d+) answers", out))
        assert sum(map(int, answers.values())) == 200
        return {int(worker) for worker in answers}

    end = time.monotonic() + BOUND
    while ask(front_one, front_two) != {worker.pid for worker in workers}:
        assert time.monotonic() < end
    ask(front_one)  # with both, all requests may go to the other: to whose connection comes first
    workers[0].send_signal(signal.SIGTERM)
    assert workers[0].wait(BOUND) == 0
    one.send_signal(signal.SIGTERM)
    out, err = one.communicate(timeout=BOUND)
    assert (one.returncode, err) == (0, "")
    counts = json.loads(out)
    assert counts["front_received"] == counts["back_sent"] > 0
    assert workers[0].pid not in ask(front_one, front_two)  # by the other broker
    two.send_signal(signal.SIGINT)
    try:
        two.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        two.send_signal(signal.SIGABRT)
        pytest.fail("\n".join(two.communicate()))  # its log, and where its threads are
    for worker in workers[1:]:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(BOUND) == 0
        assert worker.stderr.read() == ""


def can_make_hosts() -> bool:
    if not shutil.which("ip") or not shutil.which("unshare"):
        return False
    command = ["ip", "netns", "add", "zmqb-probe"]
    made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", "zmqb-probe"], check=True)
    return made


@pytest.fixture
def hosts() -> Iterator[list[list[str]]]:
    """Makes two hosts with a cable between them; gives the commands to run something on each."""
    if not can_make_hosts():
        pytest.skip("this machine lets us make no network namespaces")
    names = [f"zmqb{os.getpid()}{end}" for end in "ab"]
    cable = [f"zb{os.getpid() % 100_000}{end}" for end in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        try:
            ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        except subprocess.CalledProcessError:
            pytest.skip("this machine lets us make no cable between network namespaces")
        for number, (name, end) in enumerate(zip(names, cable, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_a_broker_between_two_hosts(processes: Callable[..., Any], hosts: list[list[str]]) -> None:
    far, near = hosts
    public = "tcp://10.77.0.1:*"
    broker, front, back = broker_cli(processes, public, public, before=far)
    worker = processes(*far, sys.executable, EXAMPLE / "worker.py", back)
    client = processes(*near, sys.executable, EXAMPLE / "client.py", front, "--count", 50)
    out, err = client.communicate(timeout=BOUND)
    assert (client.returncode, err) == (0, "")
    assert "50 answers" in out
    for process in (worker, broker):
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND) == 0


# The service of Twisted.


def test_the_plugin_is_found_and_loads_nothing() -> None:
    (maker,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "zmq-proxy"]
    assert verifyObject(IServiceMaker, maker)
    code = (
        "import sys, twisted.plugins.zmqbridge_plugin\n"
        "assert not {'zmq', 'zmqbridge', 'twisted.internet.reactor'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=BOUND)


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_a_service_opens_and_ends_and_opens_again(w: World) -> None:
    service = ProxyService("pubsub", FREE, [FREE], reactor=w.reactor)
    assert verifyObject(IService, service)
    assert service.proxy is None
    assert service.stopService() is None  # it was never started
    for _ in range(2):
        service.startService()
        proxy: Any = service.proxy
        assert (await proxy.statistics()).front_received == 0
        ending: Any = service.stopService()
        await ending
        assert proxy.closed
        assert service.proxy is None


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_service_that_fails_stops_the_reactor_if_it_shall(w: World) -> None:
    from zmqbridge._bridge.context import end

    stopped = []

    class Reactor:
        callFromThread = w.reactor.callFromThread

        def stop(self) -> None:
            stopped.append(True)

    for shall in (False, True):
        service = ProxyService("pubsub", FREE, FREE, reactor=Reactor(), stop_reactor=shall)
        service.startService()
        await service.proxy.statistics()
        end(service.proxy.context)
        with contextlib.suppress(Exception):
            await service.proxy.ended()
        await w.settled()
        if shall:  # it is told by another call of the thread
            await w.until(lambda: stopped)
        assert len(stopped) == shall
        await defer.maybeDeferred(service.stopService)
    await w.until(lambda: len(w.reports) == 2)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "--front: give an address"),
        (["-f", "tcp://*:1"], "--back: give an address"),
        (["-f", "tcp://*:1", "-b", "5555"], "--back: '5555': write it as"),
        (["-k", "queue", "-f", "tcp://*:1", "-b", "tcp://*:2"], "--kind: give one of requests"),
        ([*SIDES, "--mark", "0"], "--mark: '0': give a whole number"),
        ([*SIDES, "--statistics", "often"], "--statistics: 'often': give a number above 0"),
        ([*SIDES, "--clients", "."], "--clients .: the side that binds must have --curve"),
        ([*SIDES, "--own-key", "x"], "--own-key x: the side that connects must have --curve"),
        ([*SIDES, "--curve-front", "k.key"], "the file with the secret key is needed"),
        ([*SIDES, "--curve-back", "nowhere"], "nowhere: Invalid certificate file"),
        (
            [*SIDES, "--curve-front", "k.key_secret", "--clients", "nowhere"],
            "--clients nowhere: no such folder",
        ),
    ],
)
def test_what_twist_is_told_wrong(
    words: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twisted.python.usage import UsageError

    monkeypatch.chdir(tmp_path)
    assert make_keys("k", ".") == 0
    with pytest.raises(UsageError, match=re.escape(hint)):
        Options().parseOptions(words)


def test_what_twist_is_told() -> None:
    options = Options()
    options.parseOptions(["-k", "pipeline", "-f", FREE, "-b", f"connect:{FREE}", "-c", FREE])
    assert options["back"] == Side(bind=[], connect=[FREE])
    assert isinstance(makeService(options), ProxyService)


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_twist_lets_in_whom_it_knows_and_nobody_else(
    w: World, processes: Callable[..., Any], tmp_path: Path
) -> None:
    for name, folder in (("broker", tmp_path), ("alice", tmp_path / "known"), ("bob", tmp_path)):
        assert make_keys(name, str(folder)) == 0
    server, _ = load_certificate(tmp_path / "broker.key")
    broker = processes(
        *TWIST, "-k", "pipeline", *SIDES, "--mark", 5, "--statistics", 0.1,
        "--curve-front", tmp_path / "broker.key_secret", "--clients", tmp_path / "known",
    )  # fmt: skip
    found = line_with(broker.stdout, r"pipeline from (\S+) to (\S+)")

    def client(file: Path) -> Any:
        public, secret = load_certificate(file)
        assert secret is not None
        keys = CurveClient(server, public, secret)
        return w.Pusher(connect=found[1], security=keys, monitor=True)

    async with client(tmp_path / "bob.key_secret") as bob:
        with pytest.raises(HandshakeFailed):
            await bob.connected(BOUND)
    alice = tmp_path / "known" / "alice.key_secret"
    async with client(alice) as pusher, w.Puller(connect=found[2]) as puller:
        await pusher.push(b"of alice!")
        assert await puller.receive() == [b"of alice!"]
        line_with(broker.stdout, r'pipeline: \{"front_received": 1, "front_received_bytes": 9,')
    broker.send_signal(signal.SIGTERM)
    assert broker.wait(BOUND) in (0, -signal.SIGTERM)  # newer ones end by the signal
