"""Changes as people and programs read them."""

from __future__ import annotations

import json
from pathlib import Path

from hostel.plan import Change
from hostel.server.shown import MOST_LINES, as_json, shown
from hostel.states import FileState, file_key

KEY = file_key(Path("/etc/hostel/x"))


def file(text: str, *, secret: bool = False, mode: int = 0o644) -> FileState:
    return FileState.of(text.encode(), mode=mode, owner="root:root", secret=secret)


def test_a_change_shows_what_differs_and_nothing_else() -> None:
    said = shown(Change(KEY, file("a\n"), file("a\n", mode=0o600)))
    assert (said.sign, said.before, said.after) == ("~", {"mode": "0644"}, {"mode": "0600"})


def test_a_changed_file_shows_the_lines() -> None:
    assert "+b" in shown(Change(KEY, file("a\n"), file("b\n"))).lines


def test_a_long_difference_is_cut_and_says_so() -> None:
    lines = shown(Change(KEY, file("a\n" * 100), file("b\n" * 100))).lines
    assert len(lines) == MOST_LINES + 1
    assert "more lines" in lines[-1]


def test_a_secret_file_shows_neither_content_nor_digest() -> None:
    before, after = file("old-s3cret"), file("new-s3cret", secret=True)
    text = json.dumps(as_json(Change(KEY, before, after)))
    assert "s3cret" not in text
    assert before.digest[:12] not in text
    assert after.digest[:12] not in text
