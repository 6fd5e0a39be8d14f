"""Runs many coroutines at once, for the subjects on Twisted."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet import defer


def at_once(coroutines: list[Coroutine[Any, Any, Any]]) -> defer.Deferred[Any]:
    """Run coroutines; fires when the last one has ended."""
    return defer.gatherResults([defer.Deferred.fromCoroutine(each) for each in coroutines])
