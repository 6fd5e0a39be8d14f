"""Shown: has ``help()`` and `inspect` show all that a constructor takes, at no cost before that."""

from __future__ import annotations


class Shown:
    """The ``__signature__`` of a class, made when `inspect` or ``help()`` asks for it."""

    def __get__(self, instance: object, owner: type) -> object:
        from zmqbridge._bridge.signatures import signature

        made = signature(owner)
        if made is None:  # a subclass of a user's, with a constructor of its own
            raise AttributeError("__signature__")
        return made
