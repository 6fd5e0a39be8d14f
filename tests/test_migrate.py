"""`zmqbridge migrate`: programs for txZMQ before and after, which run, and what is left alone."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libcst")

from zmqbridge._cli.codemod import Unreadable, migrate
from zmqbridge._cli.natives import places

BOUND = 50  # seconds

# Each prints what it received and ends by itself. What is in {} differs before and after.
REQUESTS = """\
# -*- coding: utf-8 -*-
'''Talks of txzmq, as does this comment: import txzmq.'''

import sys
{import_} # the library
from twisted.internet import reactor  # not ours


class Server(txzmq.ZmqREPConnection):
    def gotMessage(self, messageId, *parts):  # ŏ
        self.reply(messageId, b'you said', *parts)


factory = txzmq.ZmqFactory()
server = Server(factory, txzmq.ZmqEndpoint('bind', 'inproc://it'))
client = txzmq.ZmqREQConnection(factory, txzmq.ZmqEndpoint('connect', 'inproc://it'))


def done(parts):
    print(parts)
    reactor.stop()


client.sendMsg(b'hello', timeout=20).addCallbacks(done, sys.exit)
reactor.run()
"""
PIPELINE = """\
from twisted.internet import reactor

from {package}.connection import ZmqEndpoint, ZmqEndpointType as How
from {package}.factory import ZmqFactory
from {package} import (
    ZmqPullConnection,  # takes
    ZmqPushConnection,  # gives
)

factory = ZmqFactory()
puller = ZmqPullConnection(factory, ZmqEndpoint(How.bind, "inproc://it"))
puller.onPull = lambda parts: (print(parts), reactor.stop())
pusher = ZmqPushConnection(factory, ZmqEndpoint(How.connect, "inproc://it"))
pusher.push([b"to", b"you"])
reactor.run()
"""
PUBLISH = """\
try:
    {import_}
except ImportError:
    raise
from twisted.internet import reactor, task
f = z.ZmqFactory()
p = z.ZmqPubConnection(f, z.ZmqEndpoint(z.ZmqEndpointType.bind, 'inproc://it'))
s = z.ZmqSubConnection(f, z.ZmqEndpoint(z.ZmqEndpointType.connect, 'inproc://it'))
s.subscribe(b'tag')
s.gotMessage = lambda message, tag: (print(message, tag), again.stop(), reactor.stop())
again = task.LoopingCall(lambda: p.publish(b'body', b'tag'))
again.start(0.01)
reactor.run()
"""
OLD = """\
import txZMQ
from txZMQ import ZmqEndpointType
from txzmq.xreq_xrep import ZmqXREPConnection as Rep, ZmqXREQConnection
from twisted.internet import reactor
f = txZMQ.ZmqFactory()
class Server(Rep):
    def gotMessage(self, i, *parts): self.reply(i, *parts)
s = Server(f, txZMQ.ZmqEndpoint(ZmqEndpointType.Bind, "inproc://it"))
c = ZmqXREQConnection(f, txZMQ.ZmqEndpoint(txZMQ.ZmqEndpointType.Connect, "inproc://it"))
c.sendMsg(b"x").addCallback(lambda parts: (print(parts), reactor.stop()))
reactor.run()
"""
OLD_NOW = """\
from zmqbridge import txzmq as txZMQ
from zmqbridge.txzmq import ZmqEndpointType
from zmqbridge.txzmq.req_rep import ZmqREPConnection as Rep, ZmqREQConnection
from twisted.internet import reactor
f = txZMQ.ZmqFactory()
class Server(Rep):
    def gotMessage(self, i, *parts): self.reply(i, *parts)
s = Server(f, txZMQ.ZmqEndpoint(ZmqEndpointType.bind, "inproc://it"))
c = ZmqREQConnection(f, txZMQ.ZmqEndpoint(txZMQ.ZmqEndpointType.connect, "inproc://it"))
c.sendMsg(b"x").addCallback(lambda parts: (print(parts), reactor.stop()))
reactor.run()
"""
NEW = "from zmqbridge import txzmq"
PROGRAMS = [
    (REQUESTS.format(import_="import txzmq"), REQUESTS.format(import_=NEW), "[b'you said', b'h"),
    (PIPELINE.format(package="txzmq"), PIPELINE.format(package="zmqbridge.txzmq"), "[b'to', b'yo"),
    (PUBLISH.format(import_="import txzmq as z"), PUBLISH.format(import_=NEW + " as z"), "b'body'"),
    (
        PUBLISH.format(import_="import txzmq.pubsub, txzmq as z"),
        PUBLISH.format(import_=NEW + "\n    " + NEW + " as z"),
        "b'body' b'tag'",
    ),
    (OLD, OLD_NOW, "[b'x']"),
]


@pytest.mark.parametrize(("before", "after", "prints"), PROGRAMS)
def test_a_program_is_rewritten_and_runs_as_before(
    before: str, after: str, prints: str, tmp_path: Path
) -> None:
    result = migrate(before.encode())
    assert result.source.decode() == after
    assert migrate(result.source).source == result.source  # twice is once
    assert importlib.util.find_spec("txzmq"), "what the old program needs"
    for name, text in ("after", after), ("before", before):
        if "txZMQ" in before and name == "before":
            continue  # which no package has any more
        script = tmp_path / f"{name}.py"
        script.write_text(text)
        done = subprocess.run([sys.executable, script], capture_output=True, timeout=BOUND)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().startswith(prints)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import os, txzmq  # both\n", "import os\nfrom zmqbridge import txzmq  # both\n"),
        ("# why\nimport txzmq, os\n", "# why\nimport os\nfrom zmqbridge import txzmq\n"),
        ("import txzmq.req_rep as r, sys\n", "import sys\nimport zmqbridge.txzmq.req_rep as r\n"),
        ("if 1: import txzmq; x = 1\n", "if 1: from zmqbridge import txzmq; x = 1\n"),
        ("from txzmq import *\n", "from zmqbridge.txzmq import *\n"),
        ("import tx0mq\r\n", "from zmqbridge import txzmq as tx0mq\r\n"),
        ("def f():\n\timport txzmq\n", "def f():\n\tfrom zmqbridge import txzmq\n"),
        ("import txzmq", "from zmqbridge import txzmq"),
        (
            "from txzmq import ZmqXREQConnection\nclass A(ZmqXREQConnection): pass\n",
            "from zmqbridge.txzmq import ZmqREQConnection\nclass A(ZmqREQConnection): pass\n",
        ),
    ],
)
def test_how_imports_are_written(before: str, after: str) -> None:
    result = migrate(before.encode())
    assert result.source.decode() == after
    assert migrate(result.source).source == result.source


@pytest.mark.parametrize(
    "text",
    [
        "from .txzmq import it\n",
        "import txzmq_extras, txzmqlike.txzmq\n",
        "from txzmq.test import test_pubsub\n",
        "class ZmqEndpointType:\n    Connect = 1\nx = ZmqEndpointType.Connect  # not txzmq's\n",
        "txzmq = None\nprint(txzmq.ZmqXREQConnection)\n",
        "print('import txzmq')\n",
        "import zmq\n",
    ],
)
def test_what_is_not_of_txzmq_stays(text: str) -> None:
    assert migrate(text.encode()).source.decode() == text


def test_what_is_left_to_a_person_is_said_with_its_line() -> None:
    text = (
        "import txzmq\n"
        "from unittest.mock import patch\n"
        "class A(txzmq.ZmqPullConnection): pass\n"
        "class B(txzmq.ZmqPullConnection): pass\n"
        "patch('txzmq.connection.reactor')\n"
        "import txzmq.test\n"
    )
    said = migrate(text.encode()).notes
    assert "makes txzmq the name of the original again" in said[-1].text
    assert "original again" not in migrate(b"import txzmq.test as t\n").notes[0].text
    notes = [(note.line, note.text.split(";")[0]) for note in said]
    assert notes == [
        (5, "the text 'txzmq.connection.reactor' may be the name of a module"),
        (6, "txzmq.test is not in zmqbridge"),
    ]


WHOLE = """\
import os, txzmq
from txzmq import ZmqEndpoint as At, ZmqFactory
import zmq
class Base(txzmq.ZmqSubConnection):
    highWaterMark = 10
    other = 1
class Mine(Base):
    def __init__(self, factory):
        super().__init__(factory, At("connect", "tcp://h:1"), b"me")
        self.subscribe(b"x")
    def gotMessage(self, message, tag): self.shutdown()
def start():
    factory = ZmqFactory()
    Mine(factory)
    server = Server(factory, At(txzmq.ZmqEndpointType.bind, ADDRESS % 5), b"me")
    server.reply(b"id")
    server.mine(), nobody.reply(b"id"), zmq.Context()
    server.gotMessage = start
class Server(txzmq.ZmqREPConnection):
    class Inner:
        def gotMessage(self): self.reply()
class P(txzmq.ZmqConnection):
    socketType = zmq.PAIR
"""
NATIVE = [
    (4, "class Base (a ZmqSubConnection); native: Subscriber"),
    (5, "highWaterMark; native: options={zmq.SNDHWM: …, zmq.RCVHWM: …}, by default 1,000"),
    (7, "class Mine (a ZmqSubConnection); native: Subscriber"),
    (10, "self.subscribe(…); native: Subscriber(tags), or subscribe(tag)"),
    (11, "gotMessage; native: handler=, which gets the pair (tag, body): the other order"),
    (11, "self.shutdown(…); native: close(), or aclose(), which sends first what is queued"),
    (13, "ZmqFactory(…); native: nothing, sockets share a context"),
    (14, "Mine(…); native: Subscriber(handler=…)"),
    (
        15,
        "Server(…); native: Replier(bind=ADDRESS % 5, options={zmq.ROUTING_ID: …}, handler=…)",
    ),
    (16, "server.reply(…); native: request.reply(*parts)"),
    (18, "gotMessage; native: handler=, which gets a request with parts, id and peer"),
    (19, "class Server (a ZmqREPConnection); native: Replier"),
    (22, "class P (a ZmqConnection); native: Pair, XPublisher or XSubscriber, and none for others"),
]


def test_what_could_be_native_is_named_place_by_place() -> None:
    assert [tuple(each) for each in places(WHOLE.encode())] == NATIVE
    # In a module that was migrated it is the same; the first import has become two lines.
    after = [(line + 1, text) for line, text in NATIVE]
    assert [tuple(each) for each in places(migrate(WHOLE.encode()).source)] == after
    assert places(b"import zmq\nclass ZmqPullConnection: pass\nZmqPullConnection()\n") == []
    mine = "from mine.txzmq import ZmqPullConnection\nZmqPullConnection()\n"
    assert places(mine.encode()) == []


def test_a_name_may_be_of_several_classes_and_what_has_no_verb_is_sent() -> None:
    program = """\
import txzmq
class Feed(txzmq.ZmqPubConnection):
    def tell(self, message):
        self.send(message)
def share(kind, factory, endpoint):
    if kind:
        receiver = txzmq.ZmqREPConnection(factory, endpoint)
    else:
        receiver = txzmq.ZmqPullConnection(factory, endpoint)
    receiver.gotMessage = receiver.onPull = print
"""
    found = [tuple(each) for each in places(program.encode())]
    assert (4, "self.send(…); native: the verb of the class: push, publish, send") in found
    assert [text for line, text in found if line == 10] == [
        "gotMessage; native: handler=, which gets a request with parts, id and peer",
        "onPull; native: handler=, which gets the list of parts",
    ]


def test_each_class_has_a_native_one_that_exists() -> None:
    from zmqbridge import asyncio_backend, twisted_backend, txzmq
    from zmqbridge._cli.natives import CLASSES, NATIVE, OLDER

    for name, native in NATIVE.items():
        assert hasattr(asyncio_backend, native.name)
        assert hasattr(twisted_backend, native.name)
        for each in (*native.hooks, *native.calls):
            assert callable(getattr(getattr(txzmq, name), each))
    exported = {name for name in txzmq.__all__ if name.endswith(("Connection", "Factory"))}
    assert exported - set(OLDER) == set(CLASSES)


def test_the_lines_are_those_of_what_is_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text("import os, txzmq\nf = txzmq.ZmqFactory()\n")
    for words, line in (["--diff"], 2), (["--check"], 2), ([], 3), ([], 3):
        _, _, err = command("it.py", *words, cwd=tmp_path)
        assert err.startswith(f"it.py:{line}: txzmq.ZmqFactory(…); native: nothing"), err
        assert "places that native classes could have: 1; see https://" in err


def test_python_2_is_named() -> None:
    with pytest.raises(Unreadable, match="line 2: no Python 3"):
        migrate(b"import txzmq\nprint 'hello'\n")


def command(*words: Any, **options: Any) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zmqbridge", "migrate", *map(str, words)],
        capture_output=True,
        timeout=BOUND,
        **options,
    )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()


def test_files_folders_diffs_and_checks(tmp_path: Path) -> None:
    program, other = tmp_path / "src" / "program.py", tmp_path / "src" / "other.py"
    latin = tmp_path / "src" / "sub" / "latin.py"
    service = tmp_path / "src" / "sub" / "service.tac"
    latin.parent.mkdir(parents=True)
    service.write_text("import txzmq\n")
    program.write_text("#!/usr/bin/env python\nimport txzmq\n")
    program.chmod(0o755)
    other.write_text("import zmq\n")
    latin.write_bytes(b"# -*- coding: latin-1 -*-\nimport txzmq  # \xe9\n")
    kept = tmp_path / "src" / ".venv" / "kept.py"
    kept.parent.mkdir()
    kept.write_text("import txzmq\n")
    before = program.read_bytes()

    status, out, err = command("src", "--check", cwd=tmp_path)
    assert (status, err) == (1, "files that would change: 3\n")
    found = "src/program.py", "src/sub/latin.py", "src/sub/service.tac"
    assert out == "".join(f"{each}: would change\n" for each in found)
    status, diff, _ = command("src", "--diff", cwd=tmp_path)
    assert status == 0
    assert program.read_bytes() == before
    assert "-import txzmq\n+from zmqbridge import txzmq\n" in diff

    assert command("src", cwd=tmp_path) == (0, "", "files that changed: 3\n")
    assert service.read_text() == "from zmqbridge import txzmq\n"
    assert program.read_text() == "#!/usr/bin/env python\nfrom zmqbridge import txzmq\n"
    assert latin.read_bytes().endswith(b"from zmqbridge import txzmq  # \xe9\n")
    assert other.read_text() == "import zmq\n"
    assert kept.read_text() == "import txzmq\n"
    if os.name == "posix":
        assert program.stat().st_mode & 0o777 == 0o755
    assert command("src", "--check", cwd=tmp_path) == (0, "", "files that would change: 0\n")
    assert sorted(each.name for each in (tmp_path / "src").iterdir()) == [
        ".venv",
        "other.py",
        "program.py",
        "sub",
    ]


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_rewritten(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import txzmq\nprint 'two'\n")
    (tmp_path / "b.py").write_text("import txzmq\n")
    status, _, err = command(tmp_path, tmp_path / "none.py")
    assert status == 2
    assert "a.py: line 2: no Python 3" in err
    assert "none.py: No such file" in err
    assert (tmp_path / "b.py").read_text() == "from zmqbridge import txzmq\n"


# A test of theirs that waits for what a busy machine has lost waits for two minutes.
TRIAL = """
from twisted.scripts.trial import run
from twisted.trial import util
util.DEFAULT_TIMEOUT_DURATION = 10.0
run()
"""


def fail(folder: Path) -> set[str]:
    """Which tests of the suite in this folder fail."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, "--reporter=verbose", "suite"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=2 * BOUND,
    )
    failed = set(re.findall(r"^ +(test_\w+) \.\.\. +\[(?:FAIL|ERROR)\]$", done.stdout, re.M))
    assert re.search(r"^Ran \d\d tests", done.stdout, re.M), done.stdout + done.stderr
    assert bool(failed) == (done.returncode != 0), done.stdout
    return failed


@pytest.mark.timeout(7 * BOUND)
def test_what_others_have_published_runs_migrated(tmp_path: Path) -> None:
    """txZMQ's own tests, as its package has them, on the facade without `install`."""
    import txzmq.test

    suite = tmp_path / "suite"
    shutil.copytree(os.path.dirname(txzmq.test.__file__), suite)
    for each in suite.glob("*.py"):  # their helpers, which are beside them here
        each.write_text(each.read_text().replace("from txzmq.test import", "from suite import"))
    status, _, err = command(suite)
    assert status == 0, err
    assert "files that changed: 6" in err
    failed = fail(tmp_path)
    for _ in range(2):  # they wait fixed times of 10 ms, which a busy machine exceeds
        failed = failed and failed & fail(tmp_path)
    assert not failed
    assert "from txzmq" not in "".join(each.read_text() for each in suite.glob("*.py"))


def test_without_libcst_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['libcst'] = None\n"
        "from zmqbridge._cli import main; sys.exit(main(['migrate', '.']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=BOUND)
    assert (done.returncode, b"the extra [migrate]" in done.stderr) == (2, True)
