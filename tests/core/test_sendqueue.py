"""SendQueue against a list: order, marks, and who is told of room."""

from __future__ import annotations

from machines import SendQueueMachine

TestQueue = SendQueueMachine.TestCase
