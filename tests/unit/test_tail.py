"""Following logs on a real file system, through what rotation and crashes do to them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.logs import formatted
from hostel.tail import follow

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
