"""The strategies and the state machine for Hypothesis, as users' tests have them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Replier, Requester
from zmqbridge.testing import Network, faults, strategies
from zmqbridge.testing.differential import Program, on_model
from zmqbridge.testing.machine import NetworkMachine

quick = settings(
    max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@quick
@given(strategies.messages(2, 3), strategies.tags(), strategies.addresses(["ipc", "tcp"]))
def test_what_users_send_is_of_the_right_kind(message: Any, tag: bytes, address: str) -> None:
    assert 2 <= len(message) <= 3
    assert all(type(part) is bytes for part in message)
    assert b"\0" not in tag
    socket = Network().node("main").context.socket(7)  # PULL
    socket.bind(address)


@quick
@given(strategies.faults(["one", "other"], until=2.0))
def test_faults_are_over_in_time_and_can_be_applied(found: list[Any]) -> None:
    network = Network()
    for name in ("one", "other"):
        network.node(name)
    faults.apply(network, found)
    assert found == sorted(found)
    assert all(fault.at + fault.lasts <= 2.0 for fault in found)
    network.deliver_until(2.0)
    assert len([each for each in network.trace if each.what != "heal"]) >= len(found)


@quick
@given(strategies.programs(["PUSH", "PULL"], ["ipc"]))
def test_programs_are_of_the_kinds_that_were_asked_for(program: Program) -> None:
    assert {spec.kind for spec in program.sockets} == {"PUSH", "PULL"}
    assert program.transport == "ipc"
    assert len(on_model(program)) == len(program.steps)


@quick
@given(st.data())
def test_what_comes_of_a_program_is_the_same_again(data: st.DataObject) -> None:
    program = data.draw(strategies.programs())
    assert on_model(program) == on_model(program)


def received(program: Program) -> list[Any]:
    came = [each.came for each in on_model(program)]
    lists = [each for each in came if isinstance(each, list)]
    return [each for some in lists for each in some if isinstance(each, tuple)]


def test_a_program_that_shows_something_is_made_small() -> None:
    program = find(
        strategies.programs(["PAIR"]),
        lambda program: len(received(program)) >= 2,
        settings=settings(quick, max_examples=200, phases=[Phase.generate, Phase.shrink]),
    )
    assert len(program.sockets) == 2
    assert len(program.steps) <= 16, program


@pytest.mark.parametrize(
    ("kinds", "transports", "text"),
    [
        (["STREAM"], ["tcp"], "kind 'STREAM': give some of DEALER"),
        (["PUSH", "SUB"], ["tcp"], "no two of them"),
        ([], ["udp"], "transport 'udp': give some of"),
    ],
)
def test_what_is_not_simulated_is_refused(kinds: Any, transports: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        strategies.programs(kinds, transports)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: strategies.addresses(["udp"]), "transport 'udp'"),
        (lambda: strategies.faults(["one"]), "between two nodes"),
        (lambda: strategies.faults(["one", "two"], kinds=["flood"]), "kind 'flood'"),
    ],
)
def test_a_wrong_argument_is_named(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


class Counting(NetworkMachine):
    """A client that asks again when no answer came, and a server that must count each once."""

    nodes = ("server", "client")
    attempts = 1

    def begin(self) -> None:
        self.counted = self.asked = 0
        self.start("server", self.serve)

    async def serve(self) -> None:
        async def count(request: Any) -> None:
            self.counted += 1
            await request.reply(b"")

        async with Replier(bind="tcp://*:5555") as replier:
            await replier.serve(count)

    @rule()
    def ask(self) -> None:
        async def once() -> None:
            async with Requester(0.3, connect="tcp://server:5555") as requester:
                for _ in range(self.attempts):
                    try:
                        await requester.request(b"count")
                        break
                    except RequestTimeout:
                        pass

        self.asked += 1
        self.do("client", once)

    def check(self) -> None:
        assert self.counted <= self.asked, "counted twice"


class Again(Counting):
    attempts = 9


def played(kind: type[Counting]) -> None:
    """What Hypothesis might draw."""
    machine = kind()
    machine.ask()
    machine.slow(0, 0, 0.5)
    machine.ask()
    machine.time_passes(1.0)
    machine.teardown()


def test_a_state_machine_shows_what_faults_do_to_an_application() -> None:
    played(Counting)
    with pytest.raises(AssertionError, match="counted twice"):
        played(Again)


def test_its_rules_are_what_happens_on_a_network() -> None:
    class Mixed(Counting):
        restarts = True

    machine = Mixed()
    machine.cut(0, 0)
    machine.silence(0, 0, one_way=False)
    machine.ask()
    machine.heal(0, 0)
    machine.restart(0)
    machine.teardown()
    happened = [event.what for event in machine.network.trace]
    assert {"cut", "silence", "heal", "kill", "restart"} <= set(happened)
