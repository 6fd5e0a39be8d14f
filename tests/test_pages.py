"""The Python blocks of pages that stand by themselves, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    "metrics.md",
    "moving-from-aiozmq.md",
    "moving-from-zmq-anyio.md",
    "moving-from-zmq-asyncio.md",
    "proxies.md",
]
BLOCKS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.S | re.M), 1
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_as_it_stands(block, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(block)
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        timeout=40,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
