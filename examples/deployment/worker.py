"""A worker: it connects to all brokers, and answers requests until it gets SIGTERM."""

import argparse
import asyncio
import os
import signal

from zmqbridge.asyncio_backend import Replier


async def main(brokers: list[str]) -> None:
    name = f"worker {os.getpid()}".encode()
    async with Replier(connect=brokers) as replier:
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, replier.close)
        async for request in replier:
            (number,) = request.parts
            await request.reply(b"%d" % int(number) ** 2, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("brokers", nargs="+", help="the back of each broker")
    asyncio.run(main(parser.parse_args().brokers))
