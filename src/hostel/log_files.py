"""The files of a site's logs, as one long log each: which there are, and where in them a time is.

Reads only, and only plain files: what the folder's owner may have put there instead is left
alone. Each file is opened once, so that rotation cannot take it away while it is read.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hostel.logs import Record, parse

CHUNK = 1 << 18
LONGEST = 1 << 16
"""A line that reaches this length is told in pieces, so that no writer can fill our memory."""

UNDATED = 1 << 20
"""How far into a file its first line with a time is looked for."""

PACKED = 10
"""How much smaller gzip makes a log, about."""

_DATED = re.compile(r"(access|error)\.(\d{4}-\d\d-\d\d)\.log(\.gz)?")
_PLAIN = re.compile(r"(access|error)\.log(?:\.(\d{1,6}))?(\.gz)?")


@dataclass(frozen=True)
class LogPlaces:
    """Where a site logs: files with dates in their names on a server, else plain ones.

    `releases` is the folder below which the copies of the site's code lie.
    """

    folder: Path
    dated: bool
    releases: Path | None = None


def files(places: LogPlaces, kind: str) -> list[Path]:
    """The files of the "access" or the "error" log, the oldest first; packed ones end in .gz."""
    found: dict[tuple[str, int], str] = {}
    try:
        names = sorted(os.listdir(places.folder))  # noqa: PTH208 - names are all that is wanted
    except (FileNotFoundError, NotADirectoryError):
        names = []
    for name in names:
        match = (_DATED if places.dated else _PLAIN).fullmatch(name)
        if match and match[1] == kind:
            # logrotate counts from the newest on.
            order = (match[2], 0) if places.dated else ("", -int(match[2] or 0))
            # While it is being packed both are there, and the plain one is whole.
            found.setdefault(order, name)
    return [places.folder / found[order] for order in sorted(found)]


def is_live(places: LogPlaces, path: Path) -> bool:
    """Whether a file of this name is one that httpd writes to, rather than what became of one."""
    match = (_DATED if places.dated else _PLAIN).fullmatch(path.name)
    return bool(match and not match[3] and (places.dated or not match[2]))


def live(places: LogPlaces) -> list[Path]:
    """The files that httpd writes to; with dates in their names, those of past days, too."""
    found = [path for kind in ("access", "error") for path in files(places, kind)]
    return [path for path in found if is_live(places, path)]


def open_log(path: Path) -> BinaryIO | None:
    """The file, if it is one; no link is followed and no pipe waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


class LogFile:
    """One file of a log, as far as it went when it was opened."""

    def __init__(self, path: Path, handle: BinaryIO) -> None:
        self.path = path
        self.handle = handle
        self.packed = path.suffix == ".gz"
        self.size = os.fstat(handle.fileno()).st_size
        self.whole = self.size if self.packed else self._whole()

    @property
    def weight(self) -> int:
        """About how many bytes of lines it holds."""
        return self.size * PACKED if self.packed else self.size

    def first(self) -> float:
        """When its first line was written; 0.0 if its beginning does not say."""
        for line in self.lines(0, UNDATED):
            if when := parse(line).written:
                return when
        return 0.0

    def time_after(self, offset: int, end: int) -> tuple[int, float] | None:
        """The first line with a time that begins after `offset`: where it begins, and its time."""
        begun, read, within = b"", offset, True
        for chunk in self._chunks(offset, end):
            begin = read - len(begun)
            read += len(chunk)
            *whole, begun = (begun + chunk).split(b"\n")
            for line in whole:
                if not within and b"\t" in line and (when := parse(line).written):
                    return begin, when
                within = False
                begin += len(line) + 1
            if len(begun) > LONGEST:
                begun, within = b"", True
        return None

    def offset_at(self, since: float) -> int:
        """A line's beginning before which all is older than `since`, found by halving."""
        low, high = 0, self.whole
        while high - low > CHUNK:
            middle = (low + high) // 2
            found = self.time_after(middle, high)
            if found is None or found[1] >= since:
                high = middle
            else:
                low = found[0]
        return low

    def lines(self, offset: int, end: int, needle: bytes = b"") -> Iterator[bytes]:
        """Its lines from `offset` on; with `needle`, only those it is in."""
        begun = b""
        for chunk in self._chunks(offset, end):
            data = begun + chunk
            if needle not in data:
                begun = data[data.rfind(b"\n") + 1 :][-LONGEST:]
                continue
            *whole, begun = data.split(b"\n")
            yield from (line for line in whole if line and needle in line)
            if len(begun) > LONGEST:
                yield begun
                begun = b""
        if begun and needle in begun:
            yield begun

    def _chunks(self, offset: int, end: int) -> Iterator[bytes]:
        self.handle.seek(0 if self.packed else offset)
        source: BinaryIO | gzip.GzipFile = self.handle
        if self.packed:
            source = gzip.GzipFile(fileobj=self.handle)
        left = end - offset
        # A packed file may be cut off or be none at all: what can be read of it is told.
        with contextlib.suppress(OSError, EOFError, zlib.error):
            while left > 0 and (chunk := source.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def _whole(self) -> int:
        """Where its last whole line ends; a line that is being written now is left to `follow`."""
        start = max(0, self.size - LONGEST)
        self.handle.seek(start)
        found = self.handle.read(self.size - start).rfind(b"\n")
        return start + found + 1 if found >= 0 or not start else self.size


class Log:
    """All files of one log, the oldest first."""

    def __init__(self, places: LogPlaces, kind: str) -> None:
        self.files: list[LogFile] = []
        try:
            for path in files(places, kind):
                handle = open_log(path)
                if handle is not None:
                    self.files.append(LogFile(path, handle))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for file in self.files:
            file.handle.close()

    def records(
        self, since: float, needle: bytes = b"", partial: bool = True
    ) -> Iterator[tuple[float, Record]]:
        """Records written at `since` or later, and some before; each with its time.

        A line without a time has that of the one before it. `partial` tells of a last line
        without an end, too.
        """
        when = 0.0
        for file in self.files[self._covering(since) :]:
            offset = 0 if file.packed else file.offset_at(since)
            end = file.size if partial else file.whole
            for line in file.lines(offset, 1 << 62 if file.packed else end, needle):
                record = parse(line)
                when = record.written or when
                yield when, record

    def reaching_back(self, size: int) -> float:
        """The time from which on there are about `size` bytes; -inf if that is more than all."""
        for file in reversed(self.files):
            if file.weight < size:
                size -= file.weight
            elif file.packed:
                return file.first() or -math.inf
            else:
                found = file.time_after(max(0, file.whole - size), file.whole)
                return found[1] if found else -math.inf
        return -math.inf

    def _covering(self, since: float) -> int:
        """The first file to read: those before it were written before `since`."""
        for number in range(len(self.files) - 1, 0, -1):
            if since > -math.inf and 0.0 < self.files[number].first() <= since:
                return number
        return 0
