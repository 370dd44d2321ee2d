"""What belongs together in the logs: a traceback's lines, and a request with what it wrote. Pure.

Knows records and numbers for time, no files and no clock: whoever feeds it says what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from hostel.logs import Access, Message, Record, formatted, parse

LATE = 0.3
"""Seconds that a request's last lines may come after its line in the access log: two pipes and
two files lie between."""


@dataclass(frozen=True)
class Entry:
    """A request with the lines it wrote, in time order, or lines that belong to none.

    `access` is None while a request has not ended, when it crashed with its process, and for
    what is in no access log; `request`, httpd's id of it, is "" for lines without one. `when` is
    its place among the others: a line without a time has that of those around it.
    """

    access: Access | None
    messages: tuple[Message, ...]
    when: float

    @property
    def request(self) -> str:
        if self.access is not None:
            return self.access.request
        return self.messages[0].request if self.messages else ""

    @property
    def ended(self) -> float:
        """When it ended, or the last of its lines was written."""
        last = max((message.written for message in self.messages), default=0.0)
        return last if self.access is None and last else self.when

    @cached_property
    def failed(self) -> bool:
        """Whether it is worth a look: a 5xx, a traceback, an error that httpd or the app named."""
        if self.access is not None and self.access.status >= 500:
            return True
        return any(_bad(message) for message in self.messages)


class Joiner:
    """Collects the lines of each thread's traceback; everything else passes at once."""

    LIMIT = 2000

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], list[Message]] = {}
        self._grew: set[tuple[str, str]] = set()

    def feed(self, record: Record) -> Iterator[Record]:
        """Take one record; yields what is complete by it."""
        if not isinstance(record, Message) or record.module != "wsgi" or record.noise:
            yield record
            return
        who = (record.pid, record.thread)
        if who in self._open and self._ends(self._open[who], record):
            yield self._close(who)
        if _begins(record) or who in self._open:
            self._open.setdefault(who, []).append(record)
            self._grew.add(who)
        else:
            yield record

    def flush(self, idle_only: bool = False) -> Iterator[Record]:
        """What is open; with `idle_only`, just what has not grown since the last call."""
        for who in list(self._open):
            if not (idle_only and who in self._grew):
                yield self._close(who)
        self._grew.clear()

    def _ends(self, lines: list[Message], record: Message) -> bool:
        """Whether the record belongs to something else than these lines of its thread."""
        other = record.request != lines[0].request
        return other or not record.app or len(lines) > self.LIMIT

    def _close(self, who: tuple[str, str]) -> Message:
        parts = self._open.pop(who)
        return replace(parts[0], lines=tuple(line for part in parts for line in part.lines))


def joined(records: Iterable[Record]) -> list[Record]:
    """Tracebacks whole: lines of one thread that belong together, though others came between."""
    joiner = Joiner()
    whole = [done for record in records for done in joiner.feed(record)]
    return in_order([*whole, *joiner.flush()])


def in_order(records: Iterable[Record]) -> list[Record]:
    """By time, so that a request comes before what it printed; a line without one stays put."""
    timed: list[tuple[float, Record]] = []
    for record in records:
        timed.append((record.at or (timed[-1][0] if timed else 0.0), record))
    return [record for _, record in sorted(timed, key=lambda one: one[0])]


def readable(text: str, others: Callable[[str], bool] = lambda _: False) -> list[str]:
    """An error log as lines for people, without noise; what each process says, once.

    Each of them imports the app for itself, so all log the same failure. Left out is what was
    written by processes that are `others`, by their numbers.
    """
    lines = text.encode("utf-8", "surrogatepass").split(b"\n")
    other = cache(others)
    first: dict[tuple[str, ...], str] = {}
    out: list[str] = []
    for record in joined(parse(line) for line in lines if line):
        if isinstance(record, Message):
            if record.pid and other(record.pid):
                continue
            record = replace(record, lines=_without_ours(record.lines))
            known = record.lines in first
            if known and _said_once(record, first[record.lines]):
                continue
            first.setdefault(record.lines, record.pid)
        shown = formatted(record)
        if shown:
            out += shown.split("\n")
    return out


def _said_once(record: Message, pid: str) -> bool:
    """Whether what process `pid` said first need not be shown again: unless it is a line that one
    process prints again and again."""
    return len(record.lines) > 1 or not record.app or not record.pid or record.pid != pid


def _without_ours(lines: tuple[str, ...]) -> tuple[str, ...]:
    """A traceback without the frames of importing, and of Hostel's script that calls the app."""
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("  File "):
            inside = bool(_OUR_FRAME.match(line))
        elif not line.startswith("    "):
            inside = False
        if not inside:
            kept.append(line)
    return tuple(kept)


@dataclass
class _Waiting:
    """What a request wrote that has no line in the access log yet."""

    messages: list[Message] = field(default_factory=list)
    last: float = 0.0


class Requests:
    """Gives each request the lines it wrote, as both logs come in; all else passes by itself.

    A request is told when it has ended. Its lines wait for that, but no longer than `hold`
    seconds after the last of them: what runs long is told in parts. Entries come in the order in
    which they ended, as far as LATE lets it be known.
    """

    LINES_OF_ONE = 2000
    LINES_OF_ALL = 50_000

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0
        self._loose = Joiner()
        self._ready: list[tuple[float, float, Access | Entry]] = []
        self._due = 0.0

    def feed(self, record: Record, now: float) -> Iterator[Entry]:
        """Take one record, known since `now`; yields what has become ripe by then."""
        if now >= self._due:
            yield from self.advance(now)
        if isinstance(record, Access):
            self._ready.append((record.written or now, now, record))
        elif record.request:
            self._wait(record, now)
        else:
            crashed = _CRASHED.match(record.lines[0])
            if crashed and not record.app:
                self._give_up([
                    request
                    for request, waiting in self._waiting.items()
                    if waiting.messages[0].pid == crashed[1]
                ], now)  # fmt: skip
            self._pass(self._loose.feed(record), now)

    def advance(self, now: float) -> Iterator[Entry]:
        """What is ripe at `now`, though nothing more was written."""
        self._due = now + LATE / 2
        self._pass(self._loose.flush(idle_only=True), now)
        self._give_up(
            [one for one, waiting in self._waiting.items() if waiting.last + self.hold <= now],
            now - LATE,
        )
        ripe = [one for one in self._ready if one[1] + LATE <= now]
        self._ready = [one for one in self._ready if one[1] + LATE > now]
        yield from self._finished(ripe)

    def flush(self) -> Iterator[Entry]:
        """All that is left: nothing more will come."""
        self._pass(self._loose.flush(), 0.0)
        self._give_up(list(self._waiting), 0.0)
        ripe, self._ready = self._ready, []
        yield from self._finished(ripe)

    def _wait(self, message: Message, now: float) -> None:
        waiting = self._waiting.setdefault(message.request, _Waiting())
        waiting.messages.append(message)
        waiting.last = now
        self._count += 1
        if len(waiting.messages) >= self.LINES_OF_ONE:
            self._give_up([message.request], now)
        elif self._count > self.LINES_OF_ALL:
            self._give_up(list(self._waiting)[: len(self._waiting) // 2 + 1], now)

    def _give_up(self, requests: list[str], now: float) -> None:
        """Tell what these requests wrote without waiting for their end, unless it has come."""
        ended = {one.request for _, _, one in self._ready if isinstance(one, Access)}
        for request in requests:
            if request not in ended:
                self._tell(self._taken(request), now)

    def _pass(self, records: Iterable[Record], now: float) -> None:
        for record in records:
            assert isinstance(record, Message)
            self._tell((record,), now)

    def _tell(self, messages: tuple[Message, ...], now: float) -> None:
        when = messages[0].written or now
        self._ready.append((when, now, Entry(None, messages, when)))

    def _finished(self, ripe: list[tuple[float, float, Access | Entry]]) -> Iterator[Entry]:
        for when, _, one in sorted(ripe, key=lambda item: item[0]):
            if isinstance(one, Access):
                yield Entry(one, self._taken(one.request), when)
            else:
                yield one

    def _taken(self, request: str) -> tuple[Message, ...]:
        waiting = self._waiting.pop(request, None)
        if waiting is None:
            return ()
        self._count -= len(waiting.messages)
        return tuple(one for one in joined(waiting.messages) if isinstance(one, Message))


# -- within ---------------------------------------------------------------------------------

_SERIOUS = frozenset(["emerg", "alert", "crit", "error"])
_OUR_FRAME = re.compile(
    r'  File "(?:.*/generations/[0-9]+/[a-z]+\.py'
    r'|<frozen importlib[^"]*|.*/importlib/__init__\.py)", '
)
_CRASHED = re.compile(r"AH0005[0-9]: child pid (\d+) exit")

# An app's lines have no level of their own: what Python and its logging write says it.
_NAMED = re.compile(
    r"Traceback \(most recent call last\)|Fatal Python error|Segmentation fault"
    r"|^\W*(?:ERROR|CRITICAL|FATAL)\b|[\s\[:](?:ERROR|CRITICAL)[\s\]:]"
)


def _begins(message: Message) -> bool:
    return not message.app or message.lines[0].startswith("Traceback (most recent call last)")


def _bad(message: Message) -> bool:
    if message.noise:
        return False
    if not message.app and message.level in _SERIOUS:
        return True
    return any(_NAMED.search(line) for line in message.lines)
