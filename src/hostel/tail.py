"""Following log files as they grow, through truncation, rotation and their absence. Reads only."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hostel.logs import Joiner, Record, in_order, parse

EVERY = 0.1
CHUNK = 1 << 20
LONGEST = 1 << 16
"""A line that reaches this length is shown in pieces, so that no writer can fill our memory."""
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
                self.handle = self.path.open("rb")
        out += self._read()
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
            there = self.path.stat()
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
