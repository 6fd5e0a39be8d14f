"""The account that statistics give: every message in one count."""

from __future__ import annotations

import ast
import inspect
import pydoc
from itertools import pairwise

from zmqbridge.core.statistics import Statistics


def test_what_was_accepted_and_delivered_follows_from_the_other_counts() -> None:
    statistics = Statistics(
        sent=1,
        received=1000,
        queued=20,
        unread=3,
        malformed=40,
        dropped=300,
        open_requests=7,
        late_replies=500,
        withdrawn=4000,
        unreachable=200,  # of those that were dropped
        unclaimed=6,
        unwanted=50,
        refused=9,  # which was not accepted, as the next
        unroutable=8,
    )
    assert statistics.accepted == 4321
    assert statistics.delivered == 1000 - 599


def test_help_shows_the_texts_that_stand_under_the_fields() -> None:
    (described,) = ast.parse(inspect.getsource(Statistics)).body
    assert isinstance(described, ast.ClassDef)
    texts = {
        field.target.id: text.value.value
        for field, text in pairwise(described.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    assert tuple(texts) == Statistics._fields
    assert {name: getattr(Statistics, name).__doc__ for name in texts} == texts
    shown = pydoc.plain(pydoc.render_doc(Statistics))
    assert "Alias for field" not in shown
    assert all(str(text) in shown for text in texts.values())
