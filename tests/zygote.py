"""Runs programs as a fresh interpreter would, in forks of one that has loaded its arguments.

A line of JSON on stdin asks for something, a line on stdout answers:

- ``["run", [file, argument, ...], folder, out, err, strict]``: start a program there; the answer is
  its process id. If it is strict, a warning is an error; else only one of a forgotten resource;
- ``["wait", pid, seconds]``: the answer is its exit status, null when the time is up.

A child leaves `serve` and runs its program at the top level, so it ends as any interpreter does.
The library itself is not loaded before: a program sees only those of its modules that it imports.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import time
import warnings


def become(command: list[str], folder: str, out: str, err: str, strict: bool) -> None:
    """Make this child look like ``python file argument ...`` in a shell."""
    for number, path, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not strict:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ResourceWarning)
    os.chdir(folder)
    sys.argv[:] = command
    sys.path[0] = os.path.dirname(command[0])


def wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.002)


def serve() -> str | None:
    """Do what is asked; return, in a child, the program that it is to run."""
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "run":
            answer: int | None = os.fork()
            if not answer:
                become(*arguments)
                program: str = arguments[0][0]
                return program
        else:
            answer = wait(*arguments)
        print(json.dumps(answer), flush=True)
    return None


if __name__ == "__main__":
    for module in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # collecting in a child then leaves alone, and does not copy, what is loaded here
    file = serve()
    if file is not None:
        runpy.run_path(file, run_name="__main__")
