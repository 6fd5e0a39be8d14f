"""`zmqbridge migrate`: programs that use txZMQ, in place, as a diff, or as a check."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zmqbridge._cli.ending import MISUSED, OK, Refused, descriptor_of

WOULD_CHANGE = 1
PYTHON = (".py", ".tac")  # the second is what twistd runs
GUIDE = "see https://zmqbridge.readthedocs.io/en/stable/tutorial/from-txzmq.html"
# Folders whose files are not the program's own: installed, built, or kept by a tool.
NOT_OURS = {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"}


def run(paths: list[str], diff: bool, check: bool) -> int:
    """Rewrite these files, and the Python files in these folders; returns the exit status."""
    try:
        from zmqbridge._cli.codemod import Unreadable, migrate
        from zmqbridge._cli.natives import places
    except ImportError:
        said = "it needs libcst: pip install libcst, which the extra [migrate] brings"
        raise Refused(said) from None
    if diff:
        descriptor_of(sys.stdout, "output")
    status, changed, could = OK, 0, 0
    for path in files(paths):
        try:
            source = path.read_bytes()
            result = migrate(source)
            if result.source != source:
                changed += 1
                if diff:
                    print_diff(path, source, result.source)
                elif not check:
                    replace(path, result.source)
        except BrokenPipeError:  # whoever reads the diff has gone
            raise
        except (Unreadable, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(f"{path}: {reason}", file=sys.stderr)
            status = MISUSED
            continue
        if check and result.source != source:
            print(f"{path}: would change")
        # By the lines of what is in the file now.
        found = places(source if diff or check else result.source)
        could += len(found)
        for line, text in sorted([*found, *result.notes]):
            print(f"{path}:{line}: {text}", file=sys.stderr)
    verb = "would change" if diff or check else "changed"
    print(f"files that {verb}: {changed}", file=sys.stderr)
    if could:
        print(f"places that native classes could have: {could}; {GUIDE}", file=sys.stderr)
    return WOULD_CHANGE if check and changed and status == OK else status


def files(paths: list[str]) -> Iterator[Path]:
    """The files themselves, and the Python files in the folders, each folder in order."""
    for given in map(Path, paths):
        if not given.is_dir():
            yield given
            continue
        for folder, folders, names in os.walk(given):
            folders[:] = sorted(
                each for each in folders if each not in NOT_OURS and not each.startswith(".")
            )
            ours = sorted(name for name in names if name.endswith(PYTHON))
            yield from (Path(folder, name) for name in ours)


def print_diff(path: Path, old: bytes, new: bytes) -> None:
    """Print what `patch` takes."""
    before, after = (
        text.decode("utf-8", "surrogateescape").splitlines(keepends=True) for text in (old, new)
    )
    name = str(path).lstrip("/")
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"):
        end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
        sys.stdout.buffer.write((line + end).encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


def replace(path: Path, text: bytes) -> None:
    """Write a file so that at any moment either the old text or the new one is there."""
    target = path.resolve()  # a link stays a link
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
        os.chmod(name, target.stat().st_mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
