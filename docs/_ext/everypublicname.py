"""Checks that a built site describes every public name, method, attribute, argument and field.

python docs/_ext/everypublicname.py docs/_build/html/objects.inv
"""

from __future__ import annotations

import importlib
import inspect
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

MODULES = ["", ".arguments", ".security", ".asyncio_backend", ".twisted_backend", ".core", ".txzmq"]
MODULES += [".proxies", ".metrics", ".tracing", ".testing", ".sequences", ".tools"]
# What only the library itself uses.
OURS_ALONE = {"closed_error", "defaults", "high", "log", "way_in"}


def described(inventory: Path) -> set[str]:
    """The names of Python objects in an inventory of Sphinx."""
    *_, packed = inventory.read_bytes().split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split(" ")[0] for line in lines if " py:" in line}


def members(owner: type) -> Iterator[str]:
    """What a class and the bases that are ours have and describe."""
    for each in owner.__mro__:
        if each.__module__.startswith("zmqbridge"):
            for name, value in vars(each).items():
                is_member = callable(value) or isinstance(value, property)
                if is_member and not name.startswith("_") and name not in OURS_ALONE:
                    yield name


def public() -> Iterator[str]:
    """The full names of what is public."""
    for part in MODULES:
        module = importlib.import_module("zmqbridge" + part)
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}"
            if inspect.isclass(value) and part.endswith("_backend"):
                yield from (f"{module.__name__}.{name}.{each}" for each in members(value))
            for each in getattr(value, "__annotations__", ()) if part == ".arguments" else ():
                if f"\n    {each}:" in inspect.getdoc(value):
                    yield f"{module.__name__}.{name}.{each}"


def undescribed_fields(site: Path) -> list[str]:
    """The pages with a field of a tuple that has no text, for which Python puts one of its own."""
    text = "Alias for field number"
    return [each.stem for each in sorted(site.rglob("*.html")) if text in each.read_text("utf-8")]


def main() -> None:
    """Print what is missing; fail if anything is."""
    known = described(Path(sys.argv[1]))
    elsewhere = {"zmqbridge.core.Peer": "zmqbridge.security.Peer"}
    elsewhere["zmqbridge.core.Policy"] = "zmqbridge.security.Policy"
    elsewhere["zmqbridge.metrics.Counting"] = "zmqbridge.tools.Counting"
    elsewhere["zmqbridge.sequences.Sequence"] = "zmqbridge.Sequence"
    for name in ("Gap", "Restarted", "Subscribed", "Unsubscribed"):
        elsewhere[f"zmqbridge.{name}"] = f"zmqbridge.core.{name}"
    names = sorted(set(public()))
    missing = [name for name in names if elsewhere.get(name, name) not in known]
    print(f"{len(names)} public names, {len(missing)} without a description", *missing, sep="\n  ")
    fields = undescribed_fields(Path(sys.argv[1]).parent)
    print(f"{len(fields)} pages with fields that are not described", *fields, sep="\n  ")
    sys.exit(bool(missing or fields))


if __name__ == "__main__":
    main()
