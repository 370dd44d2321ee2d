"""Following through rotations by the real rotatelogs: nothing is lost, nothing told twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hostel.log_files import LogPlaces, files
from hostel.log_history import History
from hostel.log_join import Entry, Requests
from hostel.tail import follow_requests

ROTATELOGS = shutil.which("rotatelogs", path="/usr/bin:/usr/sbin:/bin")
DAYS = 5

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(ROTATELOGS is None, reason="needs rotatelogs, of apache2-utils"),
]


class Instance:
    """What an httpd does to its logs: both through a rotatelogs of its own.

    Days of a second: %S stands where the year's last digits are.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.count = name, 0
        self.access, self.error = (
            subprocess.Popen(
                [str(ROTATELOGS), str(folder / f"{kind}.20%S-01-01.log"), "1"],
                stdin=subprocess.PIPE,
            )
            for kind in ("access", "error")
        )

    def serve(self) -> None:
        """One request, which writes two lines."""
        request = f"{self.name}{self.count:07}"
        self.count += 1
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000")
        for text in ("one", "two"):
            line = f"{now}\twsgi\terror\t1\t1\t-\t{request}\t{text}\n"
            self._write(self.error, line)
        self._write(self.access, f"{now}\t::1\th\t200\t1\t9\t{request}\tGET / HTTP/1.1\n")

    def end(self) -> None:
        for process in (self.access, self.error):
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)

    @staticmethod
    def _write(process: subprocess.Popen[bytes], line: str) -> None:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), line.encode())


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[list[Instance]]:
    """Two: the old one drains while the new one serves, and both write to the same files."""
    made = [Instance(tmp_path, "old"), Instance(tmp_path, "new")]
    yield made
    for instance in made:
        instance.end()


def test_what_is_followed_over_many_days_is_all_there_is(
    tmp_path: Path, instances: list[Instance]
) -> None:
    places, stop = LogPlaces(tmp_path, True), threading.Event()
    told: list[Entry] = []
    with History(places) as history:
        rounds = follow_requests(places, history.files, Requests(hold=1000), stop)
        reader = threading.Thread(
            target=lambda: told.extend(one for some in rounds for one in some)
        )
        reader.start()
        try:
            deadline = time.monotonic() + 120
            while len(files(places, "access")) < DAYS:
                for instance in instances:
                    instance.serve()
                time.sleep(0.001)
                assert time.monotonic() < deadline
            for instance in instances:
                instance.end()
        finally:
            stop.set()
            reader.join(60)
    expected = [f"{one.name}{number:07}" for one in instances for number in range(one.count)]
    assert len(expected) > 100
    assert Counter(entry.request for entry in told) == Counter(expected)
    assert all(entry.access is not None for entry in told)
    assert {tuple(one.lines for one in entry.messages) for entry in told} == {(("one",), ("two",))}


def written(places: LogPlaces, count: int) -> None:
    """Wait until rotatelogs has written what it was given."""
    deadline = time.monotonic() + 120
    for kind, lines in (("access", count), ("error", 2 * count)):
        while sum(path.read_bytes().count(b"\n") for path in files(places, kind)) < lines:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_history_and_what_follows_it_meet_without_a_gap(
    tmp_path: Path, instances: list[Instance]
) -> None:
    """Read and follow again and again while it is written: each request is told by one of them."""
    places = LogPlaces(tmp_path, True)
    told: list[Entry] = []
    deadline = time.monotonic() + 120
    while len(files(places, "access")) < DAYS:
        for _ in range(50):
            instances[0].serve()
        with History(places) as history:
            now = time.time()
            found = history.last(1_000_000, lambda _: True, now=now)
            told = list(found.entries)
            for _ in range(50):
                instances[0].serve()
            written(places, instances[0].count)
            stop = threading.Event()
            stop.set()
            (more,) = follow_requests(places, history.files, found.requests, stop)
        assert time.monotonic() < deadline
    instances[0].end()
    with History(places) as history:
        whole = list(history.entries(0.0, Requests(1000)))
    expected = [f"old{number:07}" for number in range(instances[0].count)]
    assert Counter(entry.request for entry in whole) == Counter(expected)
    assert Counter(entry.request for entry in [*told, *more]) == Counter(expected)
