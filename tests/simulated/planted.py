"""Plants one fault after the other in a copy of the library, and counts which the scenarios notice.

    python -m tests.simulated.planted --seeds 1040

Each is a fault that the library had once, or that a change could bring in. A fault that is not
noticed is named, and the exit status is 1 when it is more than one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from resource import RLIMIT_CPU, setrlimit
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
AT_MOST = 60  # seconds of CPU for one; what computes for ever is noticed as well


class Planted(NamedTuple):
    """A fault: in which file, what is there, and what stands there instead."""

    what: str
    file: str
    right: str
    wrong: str


FAULTS = [
    Planted("a reply goes to another caller", "core/requests.py",
            "waiter = self.by_id.pop(request_id, None)\n        if waiter is None:",
            "waiter = self.by_id.pop(next(iter(self.by_id), request_id), None)\n"
            "        if waiter is None:"),
    Planted("replies are handed out in the wrong order", "core/patterns.py",
            "return waiters, replies", "return waiters, replies[::-1]"),
    Planted("a request is sent after its time was over", "_bridge/keepers.py",
            'stage = "queued" if self._pump.discard(request_id) else "sent"',
            'stage = "queued"'),
    Planted("a cancelled request is sent", "_bridge/keepers.py",
            "        self._pump.discard(request_id)\n        self.disarm_if_unused()",
            "        self.disarm_if_unused()"),
    Planted("a timeout is set for the first request alone", "_bridge/keepers.py",
            "            self._expire(request_id)\n        self.set_timer()",
            "            self._expire(request_id)"),
    Planted("no timeout is set", "_bridge/keepers.py",
            "        if deadline < table.armed:\n            self.set_timer()", "        pass"),
    Planted("an expired request stays open", "_bridge/keepers.py",
            "waiter = self.table.forget(request_id)\n        if waiter is None:",
            "waiter = self.table.by_id.get(request_id)\n        if waiter is None:"),
    Planted("a cancelled receive takes its message along", "core/inbox.py",
            "        if self._waiters.pop(waiter, False):\n            self.promised -= 1\n",
            "        if self._waiters.pop(waiter, False):\n            self.promised -= 1\n"
            "            self.messages and self.messages.popleft()\n"),
    Planted("a promise is never taken back", "core/inbox.py",
            "        if self._waiters.pop(waiter, False):\n            self.promised -= 1\n",
            "        if self._waiters.pop(waiter, False):\n"),
    Planted("a cancelled receiver stays in the line", "asyncio_backend/_receiver.py",
            "                inbox.forget(waiter)\n", ""),
    Planted("what a cancelled receiver was promised is told to no other",
            "asyncio_backend/_receiver.py", "                driver.tell(inbox.notify())", ""),
    Planted("what a cancelled Deferred was promised is told to no other",
            "twisted_backend/_driver.py",
            "        if inbox is not None:\n            self.tell(inbox.notify())",
            "        if False:\n            self.tell([])"),
    Planted("a pause never ends", "core/inbox.py",
            "if self.paused and (self._newest or len(self.messages) <= self._low):", "if False:"),
    Planted("no pause begins", "core/inbox.py",
            "        if self.paused or self.ended:\n            return 0",
            "        if True:\n            return 64"),
    Planted("the send queue has no mark", "core/sendqueue.py",
            "if len(self._messages) >= self._high:", "if False:"),
    Planted("the newest in the queue is sent first", "core/sendqueue.py",
            "return next(iter(self._messages.values()))",
            "return next(reversed(self._messages.values()))"),
    Planted("the wrong message leaves the queue", "core/sendqueue.py",
            "self._messages.popitem(last=False)", "self._messages.popitem()"),
    Planted("waiting senders are never told of room", "core/sendqueue.py",
            "        if self.paused or not self._waiters:", "        if True:"),
    Planted("what is queued is not sent when there is room", "_bridge/pump.py",
            "if self.queues and (self._patrol is not None or events & POLLOUT):", "if False:"),
    Planted("no turn follows a burst that was cut short", "_bridge/pump.py",
            "            if again:\n", "            if False:\n"),
    Planted("no turn follows a ring", "_bridge/pump.py",
            "            if not comes:\n                self.turn()\n", "            pass\n"),
    Planted("the edge that a send swallows is lost", "_bridge/sending.py",
            "                if self._sending_hides and not self.turn_wanted:\n"
            "                    self.schedule()\n", ""),
    Planted("the edge that a send in parts swallows is lost", "_bridge/sending.py",
            "            if self._sending_hides and not self.turn_wanted:\n"
            "                self.schedule()\n", ""),
    Planted("a message overtakes those in the queue", "_bridge/sending.py",
            "if self.queues and self.queues.put(message, key):", "if False:"),
    Planted("a message is sent twice", "_bridge/sending.py",
            "            while queue and self.try_send(queue.head()):\n",
            "            while queue and self.try_send(queue.head()):\n"
            "                self.try_send(queue.head())\n"),
    Planted("a peer that is gone takes messages", "_bridge/sending.py",
            "            if error.errno == EHOSTUNREACH:\n",
            "            if error.errno == EHOSTUNREACH:\n                return True\n"),
    Planted("what waits for a dead peer waits for ever", "_bridge/sending.py",
            "        except PeerUnreachable as error:\n            self._give_up(lane, error)",
            "        except PeerUnreachable:\n            pass"),
    Planted("one stuck peer holds up all", "_bridge/sending.py",
            "by_peer=kind == zmq.ROUTER", "by_peer=False"),
    Planted("a server without a limit", "asyncio_backend/_serving.py",
            "if not self._idle and self._all < self._limit:", "if not self._idle:"),
    Planted("the first error of a handler ends the server", "asyncio_backend/_serving.py",
            "self._report(error if awaitable else not_awaitable(request, answer))", "raise"),
    Planted("at the end of a socket nobody is told", "_bridge/link.py",
            "        if waiters or any(map(is_crowd, remains)):", "        if False:"),
    Planted("what was unsubscribed is delivered", "_bridge/subscribing.py",
            "        self._sift(", "        (lambda prefix, keep: None)("),
    Planted("closing drops what is queued", "asyncio_backend/_base.py",
            "                await self.drain(link.linger())", "                pass"),
    Planted("a lost connection counts as up", "core/connectionstate.py",
            "if self._up.pop(peer, None) is not None:", "if self._up.get(peer) is not None:"),
    Planted("a gap is told too long", "core/_ordering.py",
            "Gap(lane.last + 1, until - 1, key)", "Gap(lane.last + 1, until, key)"),
    Planted("a publication is delivered as it comes, and again as it was asked for",
            "core/incoming.py",
            "        if number <= lane.last:\n            self.doubled += 1\n            return",
            "        if False:\n            return"),
    Planted("a publication overtakes those that are asked for", "core/_ordering.py",
            "elif self._asks and number > lane.last + 1:", "elif False:"),
    Planted("numbers that begin anew are not seen", "core/_ordering.py",
            "            self._restart(key, lane, number)\n", "            pass\n"),
    Planted("a process that goes on has forgotten where it was", "_bridge/sequencing.py",
            "            self._incoming.resume(tag, self._since.pop(tag))\n", "            pass\n"),
    Planted("a last value that the ring has dropped is not there", "core/outgoing.py",
            "return [] if last is None else [Kept(*last)], end", "return [], end"),
    Planted("each repeated subscription is told", "core/subscriptions.py",
            "if left < (2 if begins else 1):", "if True:"),
    Planted("a subscription that ended stays counted", "core/topics.py",
            "            self._counts[prefix] = count - 1\n", ""),
    Planted("a subscriber is ready before it is", "_bridge/barrier.py",
            "while len(answers) < self.wanted() or not self._pattern.is_settled():",
            "while False:"),
    Planted("the oldest of a tag stays", "core/conflate.py",
            "by_tag[publication[0]] = publication",
            "by_tag.setdefault(publication[0], publication)"),
    Planted("a request of the facade is sent after its time", "txzmq/_req_rep_drivers.py",
            "queued = self.pump.discard(msgId)", "queued = True"),
    Planted("a request of the facade has no timeout", "txzmq/req_rep.py",
            "        if deadline < table.armed:\n            driver.deadlines.set_timer()\n", ""),
    Planted("late replies are not counted", "core/requests.py",
            "            self.late += 1\n", "            pass\n"),
    Planted("a promise outlives its message", "core/inbox.py",
            "        self.promised = min(self.promised, left)\n", ""),
    Planted("what is taken back counts as sent", "core/sendqueue.py",
            "            self.paused = False\n        return True",
            "            self.paused = False\n        return False"),
    Planted("who waits for room is told of no end", "core/sendqueue.py",
            "        waiters = list(self._waiters)\n        if remains",
            "        waiters = []\n        if remains"),
    Planted("a peer that was left counts as up", "core/connectionstate.py",
            "self._up = {peer: at for peer, at in self._up.items() if at != address}", "pass"),
    Planted("what follows half a message is dropped", "_bridge/sending.py",
            "            if after < len(message) - 1:\n                self._finish(after)\n", ""),
    Planted("a send that fails hides what has come", "_bridge/sending.py",
            "self.schedule()  # this has silenced the FD;", "pass  #"),
    Planted("the end of a connection fires no Deferred", "txzmq/req_rep.py",
            "        driver.end_requests(SocketClosed(text))", "        str(text)"),
    Planted("a reply that came while the loop was held up is too late", "_bridge/keepers.py",
            "if not self._pump.caught_up(now - due, again=due == self._reads_for):",
            "if False:"),
    Planted("what is taken at once hides the rest", "_bridge/pump.py",
            "        if again:\n"
            "            self.schedule()\n"
            "        if burst:\n"
            "            self.received += len(burst)\n"
            "            self._reported",
            "        if burst:\n"
            "            self.received += len(burst)\n"
            "            self._reported"),
    Planted("a patrol goes round once", "_bridge/keepers.py",
            "        finally:\n            self._set(pause)",
            "        finally:\n            pass"),
    Planted("what is taken at once was promised to another", "core/inbox.py",
            "        if len(self.messages) <= self.promised:\n            return None",
            "        if not self.messages:\n            return None"),
    Planted("on Twisted a server has no limit", "twisted_backend/_serving.py",
            "                await self._until_fewer_than(self._limit)\n",
            "                pass\n"),
    Planted("a request whose handler was cut off is not given back", "asyncio_backend/_serving.py",
            "self._cut.append(request)",
            "pass"),
    Planted("requests that were not begun are not given back", "_bridge/request.py",
            "left + inbox.rest()",
            "left"),
    Planted("the oldest of a tag is lost with another tag's", "core/outgoing.py",
            "self._runs[tag].oldest = self._following.pop(self.oldest, -1)",
            "self._following.pop(self.oldest, -1)\n                self._runs[tag].oldest = -1"),
    Planted("new tags are missed in silence", "core/_baseline.py",
            "self._covered |= covers",
            "pass"),
    Planted("the first value of a tag stays its last", "core/lastvalues.py",
            "        last[tag] = publication\n",
            "        last.setdefault(tag, publication)\n"),
    Planted("a denied address comes in", "core/zap.py",
            "return not denied and (",
            "return ("),
    Planted("a check that fails lets in", "core/zap.py",
            "if allowed is True:",
            "if allowed is not False:"),
    Planted("new policies do not decide about who waits", "core/zap.py",
            "if isinstance(answer, Question) and answer.check == question.check:",
            "if isinstance(answer, Question):"),
    Planted("a drain does not wait", "asyncio_backend/_base.py",
            "            while (queue := self._pump.backlog()) is not None:",
            "            while (queue := None) is not None:"),
    Planted("a server that has replied does not stay", "_bridge/resting.py",
            "REST = 0.1",
            "REST = 0.0"),
    Planted("the ids of requests come again", "core/requests.py",
            'Struct(">Q").pack, count(1))',
            'Struct(">Q").pack, (n // 2 for n in count(2)))'),
    Planted("a broker passes no end of a subscription on", "core/topics.py",
            '(b"\\1" if type(change) is Subscribed else b"\\0")',
            'b"\\1"'),
    Planted("requests of a refused client wait", "_bridge/monitoring.py",
            "told = self._of.driver.keeper.refused(error) or told",
            "pass"),
    Planted("the rest of a crowd is not told", "_bridge/untold.py",
            "not self._soon(self.go_on)",
            "not self._soon(len)"),
    Planted("of a crowd only the first expire", "core/requests.py",
            "self._deadlines.due(now, AT_ONCE)",
            "self._deadlines.due(now)[:AT_ONCE]"),
    Planted("an answer that was lost is not asked for again", "_bridge/barrier.py",
            "                driver.call_at(again)\n",
            ""),
    Planted("one that was behind asks no more", "_bridge/asking.py",
            "        due = max(incoming.next_deadline(), now + PAUSE if full else now)\n",
            "        if full:\n"
            "            return\n"
            "        due = max(incoming.next_deadline(), now)\n"),
    Planted("an answer has one part", "_bridge/replays.py",
            "            if not is_all:\n                return False\n",
            "            if not is_all:\n                return True\n"),
    Planted("the facade drops a message in silence", "txzmq/_driver.py",
            'there is no peer."""\n        raise error.Again',
            'there is no peer."""\n        return'),
    Planted("a cancelled Deferred stays in the line", "twisted_backend/_waiters.py",
            "            self.inbox.forget(self)",
            "            pass"),
    Planted("a bound in bytes does not hold", "core/inbox.py",
            "if self._weight >= self._most:",
            "if False:"),
    Planted("a client that was refused does not come back", "core/connectionstate.py",
            "self._again[address] = now + AGAIN",
            "pass"),
]  # fmt: skip


def limit() -> None:
    """Have a process that computes for ever end; the clock says little on a busy machine."""
    setrlimit(RLIMIT_CPU, (AT_MOST, AT_MOST))


def noticed(fault: Planted, seeds: int) -> tuple[bool, float]:
    """Whether the scenarios fail with this fault in the library, and after how many seconds of CPU.

    Raises:
        SystemExit: the library has changed, and the fault has no place any more.
    """
    with tempfile.TemporaryDirectory() as folder:
        for part in ("zmqbridge", "tests/simulated"):
            shutil.copytree(ROOT / part, Path(folder, part))
        file = Path(folder, "zmqbridge", fault.file)
        text = file.read_text(encoding="utf-8")
        if fault.right not in text:
            raise SystemExit(f"{fault.what}: {fault.file} has no {fault.right!r} any more")
        file.write_text(text.replace(fault.right, fault.wrong, 1), encoding="utf-8")
        command = [sys.executable, "-m", "tests.simulated", "--seeds", str(seeds)]
        run = subprocess.Popen(
            [*command, "--processes", "0", "--most", "1"],
            cwd=folder, env={**os.environ, "PYTHONPATH": folder}, preexec_fn=limit,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, used = os.wait4(run.pid, 0)
        return status != 0, used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1040)
    parser.add_argument("--only", default="", help="only faults with this in their name")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.what]
    missed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(noticed, chosen, [given.seeds] * len(chosen))
        for fault, (found, took) in zip(chosen, outcomes, strict=True):
            print(f"{'noticed' if found else 'MISSED '} {took:5.1f} s  {fault.what}", flush=True)
            if not found:
                missed.append(fault)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} were noticed, by {given.seeds} seeds each")
    return 1 if len(missed) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
