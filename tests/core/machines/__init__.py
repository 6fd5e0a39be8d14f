"""State machines for Hypothesis: each core machine against a plain model of it.

They can be subclassed to test a machine or a driver of your own, as docs/core.md shows: override
`make`, which returns the machine under test, and where a driver is under test the methods in which
it does its work. Then have pytest collect the ``TestCase`` of the subclass.
"""

from .connections import PeerMachine, RefusalMachine
from .joining import JoiningMachine
from .receiving import InboxMachine, RaisingInboxMachine, WeighedInboxMachine
from .requests import DeadlineMachine, RequestMachine, RouteMachine
from .sending import SendQueueMachine
from .sequences import SequenceMachine
from .topics import ConflatingInboxMachine, TopicsMachine
from .zap import ZapMachine

__all__ = [
    "ConflatingInboxMachine",
    "DeadlineMachine",
    "InboxMachine",
    "JoiningMachine",
    "PeerMachine",
    "RaisingInboxMachine",
    "RefusalMachine",
    "RequestMachine",
    "RouteMachine",
    "SendQueueMachine",
    "SequenceMachine",
    "TopicsMachine",
    "WeighedInboxMachine",
    "ZapMachine",
]
