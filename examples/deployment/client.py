"""A client: it asks for squares, through whichever broker is there."""

import argparse
import asyncio

from zmqbridge.asyncio_backend import Requester


async def main(brokers: list[str], count: int) -> None:
    workers: dict[bytes, int] = {}
    async with Requester(connect=brokers, timeout=10) as requester:
        asked = [requester.request(b"%d" % number) for number in range(count)]
        for number, (square, worker) in enumerate(await asyncio.gather(*asked)):
            assert int(square) == number**2
            workers[worker] = workers.get(worker, 0) + 1
    for worker, answers in sorted(workers.items()):
        print(f"{worker.decode()}: {answers} answers", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("brokers", nargs="+", help="the front of each broker")
    parser.add_argument("--count", type=int, default=100, help="how many requests")
    given = parser.parse_args()
    asyncio.run(main(given.brokers, given.count))
