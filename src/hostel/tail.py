"""Following log files as they grow, through truncation, rotation and their absence. Reads only."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hostel.log_files import CHUNK, LONGEST, LogFile, LogPlaces, is_live, live, open_log
from hostel.log_join import Entry, Joiner, Requests, in_order
from hostel.logs import Record, parse

EVERY = 0.1
GONE = 100
"""Rounds after which a file that lies nowhere any more is let go."""
PATIENCE = 10
"""Rounds after which the beginning of a line without an end is shown as it is."""


def follow(
    paths: Iterable[Path],
    stop: threading.Event,
    offsets: Mapping[Path, int] | None = None,
    every: float = EVERY,
) -> Iterator[Record]:
    """Records of these logs as they are written, until `stop` is set; then what is left of them.

    A file that exists is followed from `offsets`, else from its end as it is at this call; one
    that appears later, from its start.
    """
    files = [_File(path, (offsets or {}).get(path, _size(path))) for path in paths]
    return _records(files, stop, every)


def follow_requests(
    places: LogPlaces,
    known: Iterable[LogFile],
    requests: Requests,
    stop: threading.Event,
    every: float = EVERY,
) -> Iterator[list[Entry]]:
    """Entries as they are written, a list each round, until `stop` is set.

    Files that are `known` are followed from where they ended then, though they may have got
    another name since; others, which appear, from their start. `requests` holds what requests
    that have not ended wrote before.
    """
    files = {
        one.path: _File(one.path, one.whole, os.fdopen(os.dup(one.handle.fileno()), "rb"))
        for one in known
        if is_live(places, one.path)
    }
    try:
        while True:
            last = stop.is_set()
            for path in live(places):
                files.setdefault(path, _File(path, 0))
            now = time.time()
            lines = [line for file in files.values() for line in file.lines(last)]
            entries = [
                entry
                for record in in_order(map(parse, lines))
                for entry in requests.feed(record, now)
            ]
            yield [*entries, *(requests.flush() if last else requests.advance(now))]
            if last:
                return
            for path in [path for path, file in files.items() if file.forsaken]:
                files.pop(path).close()
            stop.wait(every)
    finally:
        for file in files.values():
            file.close()


def _records(files: list[_File], stop: threading.Event, every: float) -> Iterator[Record]:
    joiner = Joiner()
    try:
        while True:
            last = stop.is_set()
            for record in in_order(parse(line) for file in files for line in file.lines(last)):
                yield from joiner.feed(record)
            yield from joiner.flush(idle_only=not last)
            if last:
                return
            stop.wait(every)
    finally:
        for file in files:
            file.close()


@dataclass
class _File:
    """One log and how far it has been read."""

    path: Path
    offset: int
    handle: BinaryIO | None = None
    begun: bytes = b""
    waited: int = field(default=0, repr=False)
    gone: int = field(default=0, repr=False)

    @property
    def forsaken(self) -> bool:
        """Whether its path has been gone for so long that nobody writes to it any more."""
        return self.gone > GONE

    def lines(self, last: bool) -> list[bytes]:
        """The whole lines that came since the last call; with `last`, unfinished ones too."""
        out: list[bytes] = []
        if self.handle is not None and self._replaced():
            out += self._read()
            out += self._rest()
            self.close()
            self.offset = 0
        if self.handle is None:
            with contextlib.suppress(OSError):
                self.handle = open_log(self.path)
        out += self._read()
        self.gone = 0 if out or self.path.exists() else self.gone + 1
        self.waited = self.waited + 1 if self.begun and not out else 0
        if last or self.waited > PATIENCE:
            out += self._rest()
        return out

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()
            self.handle = None

    def _replaced(self) -> bool:
        """Whether another file lies at the path by now; one merely gone is read to its end."""
        assert self.handle is not None
        try:
            there = self.path.lstat()
        except OSError:
            return False
        ours = os.fstat(self.handle.fileno())
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _read(self) -> list[bytes]:
        if self.handle is None:
            return []
        out: list[bytes] = []
        with contextlib.suppress(OSError):
            if os.fstat(self.handle.fileno()).st_size < self.offset:
                self.offset, self.begun = 0, b""
            self.handle.seek(self.offset)
            while chunk := self.handle.read(CHUNK):
                self.offset += len(chunk)
                *whole, self.begun = (self.begun + chunk).split(b"\n")
                out += whole
                if len(self.begun) > LONGEST:
                    out += self._rest()
        return [line for line in out if line]

    def _rest(self) -> list[bytes]:
        rest, self.begun = self.begun, b""
        return [rest] if rest else []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
