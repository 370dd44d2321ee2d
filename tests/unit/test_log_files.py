"""Which files a log has, and where in them a time is, on a real file system."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostel.log_files import CHUNK, LONGEST, Log, LogFile, LogPlaces, files, live, open_log

Lines = Callable[[float, float], bytes]


def line(at: float, number: int) -> bytes:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000")
    request = f"GET /{number}{'x' * 200} HTTP/1.1"
    return f"{stamp}\t::1\th\t200\t1\t0\tid{number}\t{request}\n".encode()


def dated(folder: Path) -> LogPlaces:
    return LogPlaces(folder, True)


def log_file(path: Path) -> LogFile:
    handle = open_log(path)
    assert handle is not None
    return LogFile(path, handle)


def numbers(log: Log, since: float = -math.inf, needle: bytes = b"") -> list[str]:
    found = [record.request for _, record in log.records(since, needle)]
    log.close()
    return found


def test_files_with_dates_are_read_in_the_order_of_days(tmp_path: Path) -> None:
    names = ["access.2026-02-01.log", "access.2026-01-31.log.gz", "access.2026-01-30.log.gz"]
    for name in [*names, "error.2026-02-01.log", "access.log", "access.2026-02-01.log.bak", "x"]:
        (tmp_path / name).touch()
    assert [path.name for path in files(dated(tmp_path), "access")] == names[::-1]
    assert [path.name for path in live(dated(tmp_path))] == [names[0], "error.2026-02-01.log"]


def test_what_logrotate_has_counted_is_read_from_the_highest_number_on(tmp_path: Path) -> None:
    for name in ["access.log", "access.log.1", "access.log.2.gz", "access.log.10.gz"]:
        (tmp_path / name).touch()
    places = LogPlaces(tmp_path, False)
    found = [path.name for path in files(places, "access")]
    assert found == ["access.log.10.gz", "access.log.2.gz", "access.log.1", "access.log"]
    assert [path.name for path in live(places)] == ["access.log"]


def test_a_file_that_is_being_packed_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "access.2026-01-31.log").touch()
    (tmp_path / "access.2026-01-31.log.gz").touch()
    assert [path.suffix for path in files(dated(tmp_path), "access")] == [".log"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert files(dated(tmp_path / "none"), "access") == []


def test_links_pipes_and_folders_in_a_log_s_place_are_left_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    (tmp_path / "access.2026-01-01.log").symlink_to(secret)
    os.mkfifo(tmp_path / "access.2026-01-02.log")
    (tmp_path / "access.2026-01-03.log").mkdir()
    log = Log(dated(tmp_path), "access")
    assert log.files == []


def test_only_files_of_the_time_asked_for_are_opened_up(tmp_path: Path) -> None:
    for day in range(1, 5):
        text = b"".join(line(day * 86400.0 + n, day) for n in range(10))
        (tmp_path / f"access.1970-01-0{day + 1}.log").write_bytes(text)
    log = Log(dated(tmp_path), "access")
    assert numbers(log, 3 * 86400 + 5)[0] == "id3"
    log = Log(dated(tmp_path), "access")
    assert set(numbers(log, 4 * 86400 + 5)) == {"id4"}


def test_packed_files_are_read_like_others(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "access.1970-01-01.log.gz", "wb") as file:
        file.write(b"".join(line(float(n), n) for n in range(1, 3000)))
    (tmp_path / "access.1970-01-02.log").write_bytes(line(86400, 3000))
    assert numbers(Log(dated(tmp_path), "access")) == [f"id{n}" for n in range(1, 3001)]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda _: b"no gzip at all"]
)
def test_of_a_damaged_packed_file_is_read_what_can_be(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = gzip.compress(b"".join(line(float(n), n) for n in range(1, 20_000)))
    (tmp_path / "access.1970-01-01.log.gz").write_bytes(damage(whole))
    (tmp_path / "access.1970-01-02.log").write_bytes(line(86400, 9))
    assert numbers(Log(dated(tmp_path), "access"))[-1] == "id9"


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(st.floats(0, 11_000), st.integers(0, 3))
def test_a_time_is_found_by_halving_and_nothing_of_it_is_missed(
    tmp_path: Path, since: float, junk: int
) -> None:
    path = tmp_path / f"access{junk}.log"
    if not path.exists():
        raw = b"a library's own words\n" * junk * 500
        path.write_bytes(b"".join(line(n + 1.0, n) + (raw if n % 97 == 0 else b"")
                                  for n in range(10_000)))  # fmt: skip
    file = log_file(path)
    offset = file.offset_at(since)
    begins = list(file.lines(offset, file.whole))
    stamps = [float(one.split(b"\t")[6][2:]) + 1 for one in begins if b"\tid" in one]
    expected = sum(n + 1.0 >= since for n in range(10_000))
    assert sum(stamp >= since for stamp in stamps) == expected
    # And hardly more than that is read.
    assert sum(len(one) for one in begins[: len(stamps) - expected]) < 2 * CHUNK
    file.handle.close()


def test_a_time_is_found_beyond_much_that_has_none(tmp_path: Path) -> None:
    """Such as the memory map of a crash, or a library that has gone mad."""
    path = tmp_path / "error.log"
    raw = b"z" * 100_000 + b"\n" + b"raw\twords\n" * 200_000
    path.write_bytes(line(1.0, 1) + raw + line(2.0, 2) + raw + line(3.0, 3) + line(4.0, 4))
    file = log_file(path)
    assert file.offset_at(3.5) > len(raw)
    found = file.time_after(100, file.whole)
    assert found is not None
    assert found == (path.read_bytes().index(line(2.0, 2)), 2.0)


def test_lines_that_hold_a_word_are_found_across_the_borders_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(line(1.0, n) for n in range(5000)))
    wanted = [f"id{n}\t".encode() for n in range(0, 5000, 7)]
    file = log_file(path)
    for needle in wanted:
        assert len(list(file.lines(0, file.whole, needle))) == 1


def test_a_line_without_end_is_told_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_bytes(b"x" * (3 * CHUNK + 5))
    file = log_file(path)
    pieces = list(file.lines(0, file.size))
    assert len(pieces) > 1
    assert sum(map(len, pieces)) == 3 * CHUNK + 5


def test_a_line_that_is_being_written_is_no_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_bytes(b"whole\nhal")
    assert log_file(path).whole == 6
    path.write_bytes(b"hal")
    assert log_file(path).whole == 0
    path.write_bytes(b"y" * (LONGEST + 9))
    assert log_file(path).whole == LONGEST + 9


@given(data=st.binary(max_size=2000), offset=st.integers(0, 2000), since=st.floats(0, 1e10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_bytes_in_a_log_are_an_error(
    tmp_path: Path, data: bytes, offset: int, since: float
) -> None:
    (tmp_path / "access.log").write_bytes(data)
    (tmp_path / "access.log.1.gz").write_bytes(data)
    log = Log(LogPlaces(tmp_path, False), "access")
    list(log.records(since))
    log.reaching_back(offset)
    log.close()
