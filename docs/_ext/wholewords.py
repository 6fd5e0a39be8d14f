"""Marks code in a sentence whose words are short, so that no line ends within ``--count``."""

from __future__ import annotations

from typing import Any

from docutils import nodes

LONGEST = 30  # characters, which a narrow page has room for


def mark(app: Any, doctree: nodes.document, page: str) -> None:
    """Give a class to each literal that has no long word."""
    for literal in doctree.findall(nodes.literal):
        if all(len(word) <= LONGEST for word in literal.astext().split()):
            literal["classes"].append("whole")


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
