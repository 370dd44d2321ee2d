"""What the logs hold already: entries since a time, or the last so many. Reads only.

However large the logs are, no more is read than is asked for: the beginning is found by halving,
and to find the last entries the reading goes back by steps that grow.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from hostel.log_files import Log, LogFile, LogPlaces
from hostel.log_join import Entry, Requests

BEFORE = 60.0
"""Seconds before the time asked for from which on is read: what a request wrote before it ended,
and lines of several processes that are not quite in order."""

HOLD = 60.0
"""Seconds for which a request's lines wait for its end."""

FIRST_REACH = 1 << 17
MOST_REACH = 1 << 25
"""How far back the last entries are looked for, in bytes of each log."""


@dataclass(frozen=True)
class Found:
    """The last entries; `searched_all` is False where older logs were left unread."""

    entries: list[Entry]
    requests: Requests
    searched_all: bool


class History:
    """Both logs of a site, as they were when this was made."""

    def __init__(self, places: LogPlaces) -> None:
        self.access = Log(places, "access")
        try:
            self.error = Log(places, "error")
        except BaseException:
            self.access.close()
            raise

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.access.close()
        self.error.close()

    @property
    def files(self) -> list[LogFile]:
        return [*self.access.files, *self.error.files]

    def entries(
        self,
        since: float,
        requests: Requests,
        needle: bytes = b"",
        now: float | None = None,
    ) -> Iterator[Entry]:
        """Entries that ended at `since` or later; with `needle`, of lines that it is in.

        With `now`, what may still get lines then stays in `requests`, for whoever follows the
        logs from here.
        """
        beginning = since - BEFORE
        logs = [log.records(beginning, needle, now is None) for log in (self.access, self.error)]
        then = 0.0
        for when, record in heapq.merge(*logs, key=itemgetter(0)):
            then = max(then, when)
            yield from _since(since, requests.feed(record, then))
        yield from _since(since, requests.flush() if now is None else requests.advance(now))

    def last(
        self,
        count: int,
        keep: Callable[[Entry], bool],
        now: float | None = None,
        most: int = MOST_REACH,
    ) -> Found:
        """The last `count` entries that `keep` wants, looked for within `most` bytes."""
        reach = FIRST_REACH
        while True:
            since = max(log.reaching_back(reach) for log in (self.access, self.error))
            requests = Requests(HOLD)
            entries = filter(keep, self.entries(since, requests, now=now))
            # What never ended is told late; here there is time to put it in its place.
            kept = heapq.nlargest(max(count, 1), enumerate(entries), key=_place)
            everything = since == -math.inf
            if len(kept) >= count or everything or reach >= most:
                found = [entry for _, entry in reversed(kept[:count])]
                return Found(found, requests, everything or len(kept) >= count)
            reach = min(reach * 8, most)


def _place(numbered: tuple[int, Entry]) -> tuple[float, int]:
    number, entry = numbered
    return entry.when, number


def _since(since: float, entries: Iterator[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.ended >= since)
