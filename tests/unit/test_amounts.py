"""Sizes and durations are read as people write them, and refused where they mean nothing."""

from __future__ import annotations

import pytest

from hostel.amounts import duration, memory, patience


@pytest.mark.parametrize(
    ("said", "number"),
    [("512MB", 512 * 10**6), ("1GiB", 2**30), ("16 mb", 16 * 10**6), (20_000_000, 20_000_000)],
)
def test_memory(said: object, number: int) -> None:
    assert memory(said) == number


@pytest.mark.parametrize("said", ["1MB", 512, 0, -1, "50%", "infinity", True, 1e9, "999999TB"])
def test_memory_that_no_app_could_have_is_refused(said: object) -> None:
    with pytest.raises(ValueError):
        memory(said)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("90s", 90), ("5m", 300), ("5 min", 300), ("1H", 3600), ("7d", 604800), (30, 30)],
)
def test_durations(said: object, seconds: int) -> None:
    assert duration(said) == seconds


@pytest.mark.parametrize("said", ["", "30", "1w", "1.5h", "1h30m", 0, "0s", "8d", True, 1.5, None])
def test_what_is_no_duration_is_refused(said: object) -> None:
    with pytest.raises(ValueError):
        duration(said)


def test_nothing_waits_longer_than_an_hour_for_something_to_end() -> None:
    assert patience("1h") == 3600
    with pytest.raises(ValueError, match="1 hour"):
        patience("61m")
