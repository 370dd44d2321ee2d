"""What people write for --since."""

from __future__ import annotations

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.log_since import since

NOW = datetime(2026, 11, 24, 14, 30).timestamp()


def local(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", NOW - 600),
        ("90 s", NOW - 90),
        ("2h", NOW - 7200),
        ("3d", NOW - 3 * 86400),
        ("1w", NOW - 7 * 86400),
        ("999999999w", 0.0),
        ("2026-11-24 10:00", local("2026-11-24 10:00")),
        ("2026-11-24T10:00:05", local("2026-11-24 10:00:05")),
        ("2026-11-23", local("2026-11-23")),
        ("2026-11-24T09:00:00+00:00", local("2026-11-24T09:00:00+00:00")),
        ("9:05", local("2026-11-24 09:05")),
        ("14:30", NOW),
        ("14:31", local("2026-11-23 14:31")),
    ],
)
def test_spans_days_and_times_of_day_are_understood(text: str, moment: float) -> None:
    assert since(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "10", "soon", "25:00", "10x", "-5m", "2026-13-01", "0001-01-01"]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="10m"):
        since(text, NOW)


def test_a_time_to_come_is_refused() -> None:
    with pytest.raises(ValueError, match="still to come"):
        since("2026-11-25", NOW)


@given(st.text())
def test_no_text_is_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert since(text, NOW) <= NOW
