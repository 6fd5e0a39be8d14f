"""zmqbridge.asyncio_backend on asyncio's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.subjects.correlating import at_once
from benchmarks.subjects.ours import Main, roles
from zmqbridge import asyncio_backend


def on(
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None, backend: Any = asyncio_backend
) -> dict[str, Any]:
    """All roles on the loops that this makes; None is asyncio's own."""

    def run(main: Main) -> Any:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    return roles(backend, run, asyncio.sleep, at_once)


globals().update(on(None))
