"""Following logs on a real file system, through what rotation and crashes do to them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.log_files import LogPlaces
from hostel.log_history import History
from hostel.log_join import Entry, Requests
from hostel.logs import formatted, moment
from hostel.tail import follow, follow_requests

Follow = Callable[..., Callable[[], str]]


@pytest.fixture
def following() -> Iterator[Follow]:
    """Follow files in a thread; what it returns gives the next shown record, or fails."""
    stop, threads = threading.Event(), []

    def start(*paths: Path, offsets: dict[Path, int] | None = None) -> Callable[[], str]:
        found: queue.Queue[str] = queue.Queue()
        records = follow(paths, stop, offsets, every=0.01)

        def read() -> None:
            for record in records:
                found.put(formatted(record))

        threads.append(threading.Thread(target=read))
        threads[-1].start()
        return lambda: found.get(timeout=20)

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "error.log"
    path.write_text("old\n")
    return path


def test_only_what_comes_after_the_call_is_told(log: Path, following: Follow) -> None:
    after = following(log)
    append(log, "new\n")
    assert after() == "new"


def test_it_begins_at_a_given_offset(log: Path, following: Follow) -> None:
    after = following(log, offsets={log: 0})
    assert after() == "old"


def test_a_file_that_appears_is_told_from_its_start(tmp_path: Path, following: Follow) -> None:
    path = tmp_path / "later.log"
    after = following(path)
    path.write_text("first\n")
    assert after() == "first"


def test_a_truncated_file_is_read_from_its_new_start(log: Path, following: Follow) -> None:
    after = following(log)
    append(log, "a long line before it is truncated\n")
    after()
    log.write_text("new\n")
    assert after() == "new"


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(
    log: Path, following: Follow
) -> None:
    after = following(log)
    append(log, "one\n")
    assert after() == "one"
    log.rename(log.with_suffix(".1"))
    append(log.with_suffix(".1"), "two\n")
    fresh = log.with_suffix(".new")
    fresh.write_text("three\n")
    fresh.rename(log)
    assert [after(), after()] == ["two", "three"]


def test_a_line_written_in_pieces_is_one_line(log: Path, following: Follow) -> None:
    after = following(log)
    for piece in ("he", "llo", " world\n"):
        append(log, piece)
    assert after() == "hello world"


def test_a_line_without_an_end_is_shown_in_the_end(log: Path, following: Follow) -> None:
    after = following(log)
    append(log, "Fatal Python error")
    assert after() == "Fatal Python error"


def test_a_line_without_any_end_is_shown_in_pieces(log: Path, following: Follow) -> None:
    after = following(log)
    append(log, "x" * 200_000)
    assert len(after()) >= 65536


def test_stopping_tells_what_is_left(log: Path) -> None:
    stop = threading.Event()
    stop.set()
    text = [formatted(record) for record in follow([log], stop, {log: 0})]
    assert text == ["old"]


def test_a_request_comes_before_what_it_printed(tmp_path: Path) -> None:
    access, error, stop = tmp_path / "access.log", tmp_path / "error.log", threading.Event()
    error.write_text(
        "2026-01-02 03:04:05.2\twsgi\terror\t1\t1\t-\tprinted\n"
        "2026-01-02 03:04:05.4\twsgi\terror\t1\t1\t-\tlater\n"
    )
    access.write_text("2026-01-02 03:04:05.1\t::1\th\t200\t1\t9\tGET / HTTP/1.1\n")
    stop.set()
    records = follow([error, access], stop, {error: 0, access: 0})
    texts = [formatted(record) for record in records]
    assert texts == ["03:04:05  GET /  200  0.0 ms", "printed", "later"]


# -- requests -------------------------------------------------------------------------------


NOW = moment("2026-01-02 03:04:06 +0000")


def asked(request: str) -> str:
    return f"2026-01-02 03:04:05.1 +0000\t::1\th\t200\t1\t9\t{request}\tGET / HTTP/1.1\n"


def wrote(request: str, text: str) -> str:
    return f"2026-01-02 03:04:05.1 +0000\twsgi\terror\t1\t1\t-\t{request}\t{text}\n"


@pytest.fixture
def entries() -> Iterator[Callable[[LogPlaces], Callable[[], Entry]]]:
    """Follow a site's logs from their ends in a thread; gives the next entry, or fails."""
    stop, threads = threading.Event(), []

    def start(places: LogPlaces) -> Callable[[], Entry]:
        found: queue.Queue[Entry] = queue.Queue()
        with History(places) as history:
            requests = history.last(0, lambda _: True, now=NOW).requests
            requests.hold = 1e12  # these lines are old
            rounds = follow_requests(places, history.files, requests, stop, every=0.01)
            for entry in next(rounds):
                found.put(entry)

        def read() -> None:
            for some in rounds:
                for entry in some:
                    found.put(entry)

        threads.append(threading.Thread(target=read))
        threads[-1].start()
        return lambda: found.get(timeout=60)

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)


Entries = Callable[[LogPlaces], Callable[[], Entry]]


def lines(entry: Entry) -> list[str]:
    return [line for message in entry.messages for line in message.lines]


def test_a_request_that_had_begun_before_gets_all_its_lines(
    tmp_path: Path, entries: Entries
) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    error.write_text(wrote("AAAA", "before") + wrote("AAAA", "in the mid")[:-1])
    after = entries(LogPlaces(tmp_path, False))
    append(error, "dle\n" + wrote("AAAA", "after"))
    append(access, asked("AAAA"))
    assert lines(after()) == ["before", "in the middle", "after"]


def test_the_files_of_the_next_day_are_followed_from_their_start(
    tmp_path: Path, entries: Entries
) -> None:
    append(tmp_path / "access.2026-01-02.log", asked("old1"))
    after = entries(LogPlaces(tmp_path, True))
    append(tmp_path / "access.2026-01-02.log", asked("AAAA"))
    assert after().request == "AAAA"
    # The old instance still writes into yesterday's file, or the packer has it already.
    append(tmp_path / "access.2026-01-03.log", asked("BBBB"))
    append(tmp_path / "access.2026-01-02.log", asked("CCCC"))
    assert {after().request, after().request} == {"BBBB", "CCCC"}
    (tmp_path / "access.2026-01-02.log.gz").write_bytes(b"x")
    (tmp_path / "access.2026-01-02.log").unlink()
    append(tmp_path / "access.2026-01-03.log", asked("DDDD"))
    assert after().request == "DDDD"


def test_a_rename_by_logrotate_neither_loses_nor_doubles(tmp_path: Path, entries: Entries) -> None:
    log = tmp_path / "access.log"
    append(tmp_path / "access.log.1", asked("old1"))
    append(log, asked("old2"))
    after = entries(LogPlaces(tmp_path, False))
    append(log, asked("AAAA"))
    assert after().request == "AAAA"
    (tmp_path / "access.log.1").rename(tmp_path / "access.log.2")
    log.rename(tmp_path / "access.log.1")
    append(tmp_path / "access.log.1", asked("BBBB"))
    append(log, asked("CCCC"))
    assert [after().request, after().request] == ["BBBB", "CCCC"]


def test_a_file_renamed_before_following_began_is_read_to_its_end(tmp_path: Path) -> None:
    log, stop = tmp_path / "access.log", threading.Event()
    append(log, asked("old1"))
    places = LogPlaces(tmp_path, False)
    with History(places) as history:
        append(log, asked("AAAA"))
        log.rename(tmp_path / "access.log.1")
        append(log, asked("BBBB"))
        stop.set()
        (found,) = follow_requests(places, history.files, Requests(60), stop)
    assert [entry.request for entry in found] == ["AAAA", "BBBB"]


def test_a_link_in_a_log_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    log, stop = tmp_path / "error.log", threading.Event()
    log.symlink_to(tmp_path / "secret")
    stop.set()
    assert list(follow([log], stop, {log: 0})) == []
