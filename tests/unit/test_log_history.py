"""What the logs hold: since a time, or the last so many, without reading all of them."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hostel import log_history
from hostel.log_files import LogFile, LogPlaces
from hostel.log_history import History
from hostel.log_join import Entry, Requests

BEGAN = 1_700_000_000.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000")


def asked(number: int, at: float, status: int = 200, micros: int = 1000) -> str:
    return f"{stamp(at)}\t::1\th\t{status}\t1\t{micros}\tid{number}\tGET /{number} HTTP/1.1\n"


def wrote(number: int, at: float, text: str, request: str | None = None) -> str:
    request = f"id{number}" if request is None else request
    return f"{stamp(at)}\twsgi\terror\t1\t1\t::1:9\t{request}\t{text}\n"


@pytest.fixture
def places(tmp_path: Path) -> LogPlaces:
    """Three days of a request a minute, the first day packed, each with a line."""
    for day in range(3):
        begin = BEGAN + day * 86400
        access = "".join(asked(day * 1440 + n, begin + 60 * n) for n in range(1440))
        error = "".join(
            wrote(day * 1440 + n, begin + 60 * n + 0.0005, f"line of {day * 1440 + n}")
            for n in range(1440)
        )
        date = stamp(begin)[:10]
        for kind, text in (("access", access), ("error", error)):
            path = tmp_path / f"{kind}.{date}.log"
            if day == 0:
                path.with_suffix(".log.gz").write_bytes(gzip.compress(text.encode()))
            else:
                path.write_text(text)
    return LogPlaces(tmp_path, True)


LAST = 3 * 1440 - 1
END = BEGAN + 60 * LAST


def since(places: LogPlaces, when: float, needle: bytes = b"") -> list[Entry]:
    with History(places) as history:
        return list(history.entries(when, Requests(log_history.HOLD), needle))


def last(places: LogPlaces, count: int, only: str = "") -> tuple[list[str], bool]:
    with History(places) as history:
        found = history.last(count, lambda entry: entry.request.endswith(only))
    assert all(len(entry.messages) == 1 for entry in found.entries)
    return [entry.request for entry in found.entries], found.searched_all


def test_the_last_entries_are_the_last_ones_in_order(places: LogPlaces) -> None:
    assert last(places, 3) == ([f"id{n}" for n in range(LAST - 2, LAST + 1)], True)


def test_the_last_entries_reach_back_over_days_and_packed_files(places: LogPlaces) -> None:
    requests, _ = last(places, 4000)
    assert requests == [f"id{n}" for n in range(LAST - 3999, LAST + 1)]
    assert last(places, 9999) == ([f"id{n}" for n in range(LAST + 1)], True)


def test_rare_entries_are_looked_for_further_back(places: LogPlaces) -> None:
    assert last(places, 1, "d7") == (["id7"], True)


def test_looking_back_ends_somewhere_and_says_so(places: LogPlaces) -> None:
    with History(places) as history:
        found = history.last(5, lambda entry: entry.request == "id7", most=log_history.FIRST_REACH)
    assert (found.entries, found.searched_all) == ([], False)


@pytest.mark.parametrize("minutes", [0, 1, 10, 1439, 1440, 2000, 2881, 4000])
def test_since_a_time_is_all_that_ended_from_then_on(places: LogPlaces, minutes: int) -> None:
    entries = since(places, END - 60 * minutes)
    assert [one.request for one in entries] == [f"id{n}" for n in range(LAST - minutes, LAST + 1)]
    assert all(len(entry.messages) == 1 for entry in entries)


def test_a_request_is_found_wherever_it_is(places: LogPlaces) -> None:
    for number in (3, 1440, LAST):
        (entry,) = since(places, -math.inf, f"id{number}\t".encode())
        assert entry.access is not None
        assert [one.lines for one in entry.messages] == [(f"line of {number}",)]


def test_a_request_that_ended_in_time_has_what_it_wrote_before(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(
        asked(1, BEGAN, micros=1000) + asked(2, BEGAN, micros=40_000_000)
    )
    (tmp_path / "error.log").write_text(
        wrote(1, BEGAN, "one") + wrote(2, BEGAN + 1, "two") + wrote(0, BEGAN + 2, "loose", "-")
    )
    (entry,) = since(LogPlaces(tmp_path, False), BEGAN + 30)
    assert [one.lines for one in entry.messages] == [("two",)]


def test_a_line_without_a_time_belongs_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_text(
        f"old\n{wrote(0, BEGAN, 'a', '-')}raw then\n{wrote(0, BEGAN + 600, 'b', '-')}raw now\n"
    )
    entries = since(LogPlaces(tmp_path, False), BEGAN + 300)
    assert [entry.messages[0].lines for entry in entries] == [("b",), ("raw now",)]


def test_what_has_not_ended_is_kept_for_whoever_goes_on(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_text(wrote(1, BEGAN, "begun") + "half a li")
    with History(LogPlaces(tmp_path, False)) as history:
        found = history.last(0, lambda _: True, now=BEGAN + 1)
        assert found.entries == []
        assert [entry.request for entry in found.requests.flush()] == ["id1"]
        (file,) = history.files
        assert file.whole == file.size - len("half a li")


def test_no_more_is_read_than_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_text("".join(asked(n, BEGAN + n) for n in range(200_000)))
    read = []
    chunks = LogFile._chunks

    def counting(self: LogFile, offset: int, end: int) -> Iterator[bytes]:
        for chunk in chunks(self, offset, end):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(LogFile, "_chunks", counting)
    with History(LogPlaces(tmp_path, False)) as history:
        assert len(history.last(50, lambda _: True).entries) == 50
        assert sum(read) < path.stat().st_size / 5
        read.clear()
        assert len(list(history.entries(BEGAN + 199_000, Requests(1)))) == 1000
        assert sum(read) < path.stat().st_size / 5
