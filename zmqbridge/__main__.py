"""``python -m zmqbridge``: the commands of zmqbridge.cli."""

import signal

from zmqbridge.cli import main

if __name__ == "__main__":
    # Until a command has something to clean up, Ctrl-C just ends it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(main())
