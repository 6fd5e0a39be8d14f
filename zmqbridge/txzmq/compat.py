"""The names by which txZMQ supported Python 2 as well; users of txZMQ import them too."""

from __future__ import annotations

PY3 = True
binary_string_type = bytes


def is_nonstr_iter(v: object) -> bool:
    """Whether `v` can be iterated over and is neither ``str`` nor ``bytes``."""
    return hasattr(v, "__iter__") and not isinstance(v, str | bytes)
