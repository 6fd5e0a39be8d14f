"""Processes end by hundreds while loops in daemon threads use, open and close sockets.

python tests/soak/exits.py --exits 200
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

NATIVE = """
    import {loop}, tempfile, threading, time, anyio
    from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester

    HERE = f"ipc://{{tempfile.mkdtemp()}}"

    async def main():
        async with (
            Puller(bind=HERE + "/1") as puller, Pusher(connect=HERE + "/1") as pusher,
            Replier(bind=HERE + "/2") as replier, Requester(connect=HERE + "/2") as requester,
            anyio.create_task_group() as group,
        ):
            async def push():
                while True:
                    await pusher.push(bytes(100))

            async def pull():
                async for _ in puller:
                    pass

            async def ask():
                while True:
                    await requester.request(b"x", timeout=5)

            for work in (push, pull, ask, ask, ask):
                group.start_soon(work)
            await replier.serve(lambda request: request.reply(*request.parts))

    threading.Thread(target=lambda: {run}, daemon=True).start()
    time.sleep(0.3)
"""
CHURN = """
    import asyncio, threading, time
    from zmqbridge.asyncio_backend import Puller, Pusher

    async def main(number):
        name = f"inproc://{number}"
        async with Puller(bind=name) as puller, Pusher(connect=name) as pusher:
            for _ in range(3):
                await pusher.push(b"x")
                await puller.receive()

    def run(number):
        while True:
            asyncio.run(main(number))

    for number in range(2):
        threading.Thread(target=run, args=[number], daemon=True).start()
    time.sleep(0.3)
"""
FACADE = """
    import tempfile, threading, time
    from twisted.internet import reactor
    from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqREPConnection, ZmqREQConnection

    HERE = f"ipc://{tempfile.mkdtemp()}/s"

    class Echo(ZmqREPConnection):
        def gotMessage(self, request, *parts):
            self.reply(request, *parts)

    def main():
        factory = ZmqFactory()
        echo = Echo(factory, ZmqEndpoint("bind", HERE))
        asking = ZmqREQConnection(factory, ZmqEndpoint("connect", HERE))

        def ask(reply=None):
            asking.sendMsg(b"x", timeout=5).addCallback(ask)

        for _ in range(3):
            ask()

    reactor.callWhenRunning(main)
    threading.Thread(target=reactor.run, args=[False], daemon=True).start()
    time.sleep(0.3)
"""
PROGRAMS = {
    "asyncio": NATIVE.format(loop="asyncio", run="asyncio.run(main())"),
    "uvloop": NATIVE.format(loop="uvloop", run="uvloop.run(main())"),
    "trio": NATIVE.format(loop="trio", run="trio.run(main)"),
    "sockets come and go": CHURN,
    "facade": FACADE,
}


def end(program: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hung"
    return f"status {done.returncode}" + (", noisy: " + done.stderr[-300:]) * bool(done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exits", type=int, default=200)
    exits = parser.parse_args().exits
    bad = False
    with ThreadPoolExecutor(4) as pool:
        for name, program in PROGRAMS.items():
            start = time.monotonic()
            ends = Counter(pool.map(end, [program] * exits))
            bad |= set(ends) != {"status 0"}
            print(f"{name:20} {dict(ends)} in {time.monotonic() - start:.1f} s", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
