"""The figures of the last minutes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hostel.log_files import LogPlaces
from hostel.logs import Access
from hostel.traffic import Traffic, counted, traffic

NOW = 1_700_000_000.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000")


def line(ago: float, status: int = 200, micros: int = 1000) -> str:
    return f"{stamp(NOW - ago)}\t::1\th\t{status}\t1\t{micros}\tid12\tGET / HTTP/1.1\n"


def test_requests_errors_and_the_slowest_are_counted(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(
        line(9000, 500) + line(290, 500, 7000) + line(200, 404) + "junk\n" + line(1)
    )
    found = traffic(LogPlaces(tmp_path, False), 5, NOW)
    assert found == Traffic(5, 3, 1, 7.0, at_least=False)
    assert found.per_minute == 0.6


def test_midnight_lies_between_two_files(tmp_path: Path) -> None:
    (tmp_path / "access.2023-11-13.log").write_text(line(900) + line(200))
    (tmp_path / "access.2023-11-14.log").write_text(line(100))
    assert traffic(LogPlaces(tmp_path, True), 5, NOW).requests == 2


def test_where_nothing_was_asked_there_is_nothing(tmp_path: Path) -> None:
    none = Traffic(5, 0, 0, None, at_least=False)
    assert traffic(LogPlaces(tmp_path / "none", True), 5, NOW) == none
    (tmp_path / "access.log").touch()
    assert traffic(LogPlaces(tmp_path, False), 5, NOW) == none
    (tmp_path / "access.log").write_text(line(9000))
    assert traffic(LogPlaces(tmp_path, False), 5, NOW) == none


def test_more_than_can_be_read_is_at_least_what_was_read(tmp_path: Path) -> None:
    text = "".join(line(100 - n / 1000) for n in range(10_000))
    (tmp_path / "access.2023-11-13.log").write_text(text)
    (tmp_path / "access.2023-11-14.log").write_text(text)
    places = LogPlaces(tmp_path, True)
    assert traffic(places, 5, NOW) == Traffic(5, 20_000, 0, 1.0, at_least=False)
    for budget in (100_000, len(text), len(text) + 100_000):
        found = traffic(places, 5, NOW, budget)
        assert found.at_least
        assert abs(found.requests - budget * 10_000 / len(text)) < 2


@given(st.lists(st.tuples(st.floats(-100, 900), st.sampled_from([200, 404, 500, 503]))))
def test_what_ended_within_the_minutes_counts(asked: list[tuple[float, int]]) -> None:
    records = [
        Access(stamp(NOW - ago), "::1", "h", "GET", "/", "HTTP/1.1", status, 1, 0)
        for ago, status in asked
    ]
    found = counted(records, 5, NOW)
    within = [one.status for one in records if NOW - 300 <= one.at <= NOW]
    assert found.requests == len(within)
    assert found.errors == sum(status >= 500 for status in within)
