"""The figures of the last minutes, from the end of the access log. Reads only, and little."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostel.log_files import Log, LogPlaces
from hostel.logs import Access, Record, parse

BUDGET = 4 << 20
"""Bytes that are read at most: about 40,000 requests, in a third of a second."""


@dataclass(frozen=True)
class Traffic:
    """Requests that ended in the last `minutes`, and how many of them were 5xx.

    `at_least` says that there were more than could be read: then the figures are those of the
    last ones.
    """

    minutes: float
    requests: int
    errors: int
    slowest_ms: float | None
    at_least: bool

    @property
    def per_minute(self) -> float:
        return self.requests / self.minutes if self.minutes else 0.0


def counted(
    records: Iterable[Record], minutes: float, now: float, at_least: bool = False
) -> Traffic:
    """Count the requests among `records` that ended within `minutes` before `now`. Pure."""
    since = now - minutes * 60
    ended = [one for one in records if isinstance(one, Access) and since <= one.written <= now]
    return Traffic(
        minutes,
        len(ended),
        sum(one.status >= 500 for one in ended),
        max((one.micros / 1000 for one in ended), default=None),
        at_least,
    )


def traffic(places: LogPlaces, minutes: float, now: float, budget: int = BUDGET) -> Traffic:
    """The traffic of a site in the last minutes; packed files are too old to matter."""
    log = Log(places, "access")
    since, at_least = now - minutes * 60, False
    lines: list[bytes] = []
    try:
        for file in reversed(log.files):
            if file.packed:
                break
            # Many processes write to it, so its lines are not quite in order.
            offset = file.offset_at(since - 5)
            begin = max(offset, file.whole - budget)
            at_least = begin > offset
            budget -= file.whole - begin
            found = list(file.lines(begin, file.whole))
            # Where it was cut, half a line may come first.
            lines += found[1:] if begin > offset else found
            if at_least or offset or 0.0 < file.first() < since - 60:
                break
    finally:
        log.close()
    return counted(map(parse, lines), minutes, now, at_least)
