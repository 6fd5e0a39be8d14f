"""State machines for Hypothesis: each core machine against a plain model of it.

They can be subclassed to test a machine or a driver of your own, as docs/core.md shows: override
``make(**settings)``, which gets the arguments of the machine under test by name and returns it, and
where a driver is under test the methods in which it does its work. Then have pytest collect the
``TestCase`` of the subclass.
"""

from .connections import PeerMachine, RefusalMachine
from .joining import JoiningMachine
from .outbox import OutboxMachine
from .patterns import ReceivingMachine, RequestsMachine
from .publications import LastValuesMachine, SubscriptionsMachine
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
    "LastValuesMachine",
    "OutboxMachine",
    "PeerMachine",
    "RaisingInboxMachine",
    "ReceivingMachine",
    "RefusalMachine",
    "RequestMachine",
    "RequestsMachine",
    "RouteMachine",
    "SendQueueMachine",
    "SequenceMachine",
    "SubscriptionsMachine",
    "TopicsMachine",
    "WeighedInboxMachine",
    "ZapMachine",
]
