"""Draws the medians of the one-way and request workloads, for docs/performance.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import Results, value
from benchmarks.subjects import SUBJECTS

SHOWN = {
    "receive": "receive (PULL)",
    "receive-sub": "receive (SUB)",
    "send": "send (PUSH)",
    "send-pub": "send (PUB)",
    "requests-1000": "requests, 1,000 outstanding",
}
COLUMNS = 3  # on a page of the documentation the letters of more are too small
OURS, THEIRS, YARDSTICK = "#1b6ca8", "#b8b8b8", "#555555"


def color(subject: str) -> str:
    """The colour of a subject: ours, a peer, or blocking pyzmq, to which all are compared."""
    if SUBJECTS[subject].module.startswith("ours_"):
        return OURS
    return YARDSTICK if subject == "pyzmq" else THEIRS


def draw(results: Results, file: Path) -> None:
    """Draw a panel for each workload, a bar for each subject, in thousands of messages a second."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zmqbridge"  # the same figures give the same file
    from matplotlib import pyplot

    shown = [name for name in SHOWN if results.get(name)]
    rows = -(-len(shown) // COLUMNS)
    figure, panels = pyplot.subplots(
        rows, COLUMNS, figsize=(3.2 * COLUMNS, 3.2 * rows), layout="constrained", squeeze=False
    )
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, workload in zip(panels.flat, shown, strict=False):
        measured = {name: runs for name, runs in results[workload].items() if runs}
        names = list(measured)[::-1]
        heights = [value(measured[name]) / 1000 for name in names]
        bars = panel.barh(names, heights, color=[color(name) for name in names])
        panel.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
        panel.set_title(SHOWN[workload], fontsize=9)
        panel.tick_params(labelsize=7)
        panel.margins(x=0.18)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("thousands a second, 64 bytes, ipc, two processes", fontsize=8)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
