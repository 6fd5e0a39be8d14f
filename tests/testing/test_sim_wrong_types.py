"""Every public call of `zmqbridge.testing`, given something else: the error says what to give."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import zmq

from zmqbridge import testing
from zmqbridge.testing import Network, Node, NotSimulated, SimReactor, faults, machine, strategies

WRONG = [
    None, 5, "1", b"x", object(), [], 1.5, float("nan"), -1, True, lambda: None, {}, [[]], Network,
]  # fmt: skip


async def program() -> None:
    pass


async def with_network(network: Network) -> None:
    pass


def on_machine(name: str) -> Callable[..., None]:
    def call(**given: Any) -> None:
        it = machine.NetworkMachine()
        try:
            getattr(it, name)(**given)
        finally:
            it.teardown()

    return call


# Of each call: how to get it from a network and a reactor, and arguments that are right.
CALLS: dict[str, tuple[Callable[[Network, SimReactor], Any], dict[str, Any]]] = {
    "Network": (lambda n, r: Network, {"seed": 0, "max_turns": 10}),
    "Network.node": (lambda n, r: n.node, {"name": "x"}),
    "Network.cut": (lambda n, r: n.cut, {"a": "a", "b": "b"}),
    "Network.silence": (lambda n, r: n.silence, {"a": "a", "b": "b", "one_way": True}),
    "Network.heal": (lambda n, r: n.heal, {"a": "a", "b": "b"}),
    "Network.slow": (
        lambda n, r: n.slow,
        {"a": "a", "b": "b", "latency": (0, 1), "per_second": 5},
    ),
    "Network.rule": (lambda n, r: n.rule, {"rule": print}),
    "Network.report": (lambda n, r: n.report, {"last": 3}),
    "Node.start": (lambda n, r: r.network.nodes["a"].start, {"main": program}),
    "Node.restart": (lambda n, r: r.network.nodes["a"].restart, {"main": program}),
    "run": (lambda n, r: testing.run, {"main": program, "network": None, "backend": "asyncio"}),
    "check_determinism": (
        lambda n, r: testing.check_determinism,
        {"main": with_network, "seed": 0, "backend": "asyncio"},
    ),
    "Script": (
        lambda n, r: lambda node="", **more: testing.Script(node=node or n.node("a"), **more),
        {"exchanges": [([b"a"], [b"b"])], "bind": "tcp://*:5555"},
    ),
    "SimReactor": (lambda n, r: SimReactor, {"network": None}),
    "SimReactor.advance": (lambda n, r: r.advance, {"amount": 1}),
    "SimReactor.pump": (lambda n, r: r.pump, {"timings": [1]}),
    "SimReactor.run_until": (lambda n, r: r.run_until, {"what": lambda: True}),
    "SimReactor.callLater": (lambda n, r: r.callLater, {"delay": 1, "callable": print}),
    "faults.draw": (
        lambda n, r: faults.draw,
        {
            "random": testing.Network().random,
            "nodes": ["a", "b"],
            "until": 3,
            "most": 2,
            "kinds": ("cut",),
            "longest": 1,
        },
    ),
    "faults.apply": (lambda n, r: faults.apply, {"network": Network(), "faults": []}),
    "strategies.messages": (lambda n, r: strategies.messages, {"least": 1, "most": 2}),
    "strategies.addresses": (lambda n, r: strategies.addresses, {"transports": ["tcp"]}),
    "strategies.faults": (
        lambda n, r: strategies.faults,
        {"nodes": ["a", "b"], "until": 3, "kinds": ("cut",), "most": 2, "longest": 1},
    ),
    "strategies.programs": (
        lambda n, r: strategies.programs,
        {"kinds": ["PUSH", "PULL"], "transports": ["tcp"]},
    ),
    "NetworkMachine.start": (lambda n, r: on_machine("start"), {"node": "client", "main": program}),
    "NetworkMachine.do": (lambda n, r: on_machine("do"), {"node": "client", "call": program}),
}
# Tuples and errors, which check nothing, and what only the loop of a simulation calls.
UNCHECKED = {
    "Deliver", "Delivery", "Drop", "Event", "Fault", "Handle", "Node", "NotDeterministic",
    "NotSimulated", "Stalled", "Twice", "Unexpected", "faults", "Network.deliver_until",
}  # fmt: skip


def test_all_public_calls_are_here() -> None:
    functions = {name for name in testing.__all__ if callable(getattr(testing, name))}
    methods = {
        f"{owner.__name__}.{name}"
        for owner in (Network, Node)
        for name, method in vars(owner).items()
        if not name.startswith("_")
        and inspect.isfunction(method)
        and len(inspect.signature(method).parameters) > 1
        and f"`{name}`" in (inspect.getdoc(owner) or "") + "`start``restart`"
    }
    assert (functions | methods) - UNCHECKED <= set(CALLS)


def cases() -> list[Any]:
    return [
        pytest.param(name, argument, wrong, id=f"{name}-{argument}-{str(wrong)[:9]}")
        for name, (_, right) in CALLS.items()
        for argument in right
        for wrong in WRONG
    ]


@pytest.mark.parametrize(("name", "argument", "wrong"), cases())
def test_what_is_given_wrongly_is_told(name: str, argument: str, wrong: Any) -> None:
    """It is taken, or refused by an error of ours that shows it or says what to give."""
    network = Network()
    with SimReactor(Network()) as reactor:
        for node in "a", "b":
            network.node(node)
            reactor.network.node(node)
        call, right = CALLS[name]
        try:
            call(network, reactor)(**{**right, argument: wrong})
        except (TypeError, ValueError, zmq.ZMQError) as error:
            if inspect.isfunction(wrong) and "takes 0 positional" in str(error):
                return  # it was called
            said = str(error)
            assert repr(wrong) in said or " give " in said or argument in said, said
            assert not any(each in said for each in BARE), said
        except (NotSimulated, testing.Stalled):
            assert callable(wrong)  # it was taken, and did something else
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error


BARE = list(
    chain(
        ("object is not", "not supported between", "unsupported operand", "has no attribute"),
        ("argument must be", "unhashable", "can only concatenate", "a coroutine was expected"),
    )
)
