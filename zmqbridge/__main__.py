"""``python -m zmqbridge``: the commands of zmqbridge._cli."""

import signal

from zmqbridge._cli import main

if __name__ == "__main__":
    # As long as a command has nothing to clean up, Ctrl-C ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(main())
