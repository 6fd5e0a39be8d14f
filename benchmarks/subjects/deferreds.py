"""What every subject on Twisted needs: many coroutines at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet import defer


def at_once(coroutines: list[Coroutine[Any, Any, Any]]) -> defer.Deferred[Any]:
    """Run them all; fires when the last has ended."""
    return defer.gatherResults([defer.Deferred.fromCoroutine(each) for each in coroutines])
