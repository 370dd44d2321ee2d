"""Schedules as cron writes them, made into the calendar expressions of systemd's timers. Pure.

Knows five fields and the names that begin with @, as Debian's cron reads them. Raises ValueError
with a sentence for the person who wrote the schedule. Asks no clock; whether a time zone exists on
this machine is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hostel.site_values import shown

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
MONTHS = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SUNDAY = 7
"""Sunday as the last day of a range; as a day it is 0."""

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_DIGITS = re.compile(r"[0-9]{1,2}")
_ITEM = re.compile(r"(\*|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>\w+))?", re.ASCII)


@dataclass(frozen=True)
class _Field:
    """One of the five: its name in messages, its bounds, and the words that stand for numbers."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    @property
    def top(self) -> int:
        """The last number that a star means: Sunday has two, and must not be met twice."""
        return SUNDAY - 1 if self.high == SUNDAY else self.high


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, SUNDAY, tuple(day.lower() for day in DAYS)),
)


def calendars(schedule: str, timezone: str = "") -> tuple[str, ...]:
    """The OnCalendar expressions of a schedule: it is due when one of them is.

    There are two where the day of the month and that of the week are both given, since cron then
    takes either: systemd takes only days that are both. A day that begins with a star counts as
    not given, so "0 0 */2 * Mon" is every second day that is a Monday too.
    """
    texts = _fields(schedule)
    minutes, hours, days, months, weekdays = map(_numbers, _FIELDS, texts)
    weekdays = frozenset(day % SUNDAY for day in weekdays)
    time = f"{_plain(hours, 0, 23)}:{_plain(minutes, 0, 59)}:00"
    at = f"{time} {timezone}" if timezone else time
    month = _plain(months, 1, 12)
    whole_week = len(weekdays) == len(DAYS)
    on_days = f"*-{month}-{_plain(days, 1, 31)} {at}"
    of_week = "" if whole_week else f"{','.join(_week(weekdays))} "
    if texts[2].startswith("*") or texts[4].startswith("*"):
        _check_possible(schedule, days, months)
        return (f"{of_week}{on_days}",)
    every_day = f"*-{month}-* {at}"
    if whole_week or len(days) == 31:
        return (every_day,)
    either = (on_days,) if _possible(days, months) else ()
    return (*either, f"{of_week}{every_day}")


def schedule(value: str) -> str:
    """A schedule that `calendars` accepts, its fields one space apart."""
    calendars(value)
    return " ".join(value.split())


def timezone(value: str) -> str:
    """A name that a time zone could have, such as "Europe/Berlin" or "UTC"."""
    if not _ZONE.fullmatch(value) or len(value) > 60:
        raise ValueError(f'{shown(value)} is no time zone; write one like "Europe/Berlin" or "UTC"')
    return value


def _fields(schedule: str) -> list[str]:
    texts = schedule.split()
    if texts[:1] == ["@reboot"]:
        raise ValueError(
            '"@reboot" is no time: what runs all the time belongs in [workers], what runs before '
            "each switch in [hooks] release"
        )
    if len(texts) == 1 and texts[0].startswith("@"):
        texts = NAMED.get(texts[0].lower(), "").split()
        if not texts:
            raise ValueError(f"{shown(schedule)} is none of {', '.join(NAMED)}")
    if len(texts) != len(_FIELDS):
        raise ValueError(
            f"{shown(schedule)} is no schedule: it has five fields, minute, hour, day of the "
            'month, month and day of the week, such as "30 4 * * Mon-Fri", or is a name such as '
            '"@daily"'
        )
    return texts


def _numbers(field: _Field, text: str) -> frozenset[int]:
    return frozenset(number for item in text.split(",") for number in _item(field, item))


def _item(field: _Field, item: str) -> range:
    """The numbers of "*", "5", "1-5", "*/15" or "9-17/2"."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(
            f"{field.name}: {shown(item)} is neither a number, nor a range such as 1-5, nor one "
            "with a step such as */15"
        )
    first, last, step = match["first"], match["last"], match["step"]
    if first is None:
        low, high = field.low, field.top
    else:
        low = _number(field, first)
        high = low if last is None else _number(field, last)
    if first is not None and last is None and step is not None:
        raise ValueError(
            f"{field.name}: {shown(item)} has a step but no range; say "
            f"{shown(f'{first}-{field.top}/{step}')} or {shown(f'*/{step}')}"
        )
    if field.high == SUNDAY and high == 0 < low:
        high = SUNDAY
    if low > high:
        two = f"{first}-{field.top},{field.low}-{last}"
        ways = "write two ranges" if step else f"say {shown(two)}"
        raise ValueError(f"{field.name}: {shown(item)} runs backwards; {ways}")
    return range(low, high + 1, _step(field, step))


def _step(field: _Field, text: str | None) -> int:
    if text is None:
        return 1
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= field.high:
        raise ValueError(f"{field.name}: a step is a number from 1 to {field.high}, not {text}")
    return int(text)


def _number(field: _Field, text: str) -> int:
    word = text.lower()
    if word in field.words:
        return field.words.index(word) + field.low
    if not _DIGITS.fullmatch(text) or not field.low <= int(text) <= field.high:
        words = f" nor any of {' '.join(field.words)}" if field.words else ""
        raise ValueError(
            f"{field.name}: {shown(text)} is no number from {field.low} to {field.high}{words}"
        )
    return int(text)


def _possible(days: frozenset[int], months: frozenset[int]) -> bool:
    return min(days) <= max(LONGEST_MONTHS[month - 1] for month in months)


def _check_possible(schedule: str, days: frozenset[int], months: frozenset[int]) -> None:
    if not _possible(days, months):
        names = " or ".join(MONTHS[month - 1].capitalize() for month in sorted(months))
        raise ValueError(f"{shown(schedule)} never comes: {names} has no day {min(days)}")


# -- as systemd writes it -----------------------------------------------------------------------


def _plain(numbers: frozenset[int], low: int, high: int) -> str:
    """ "*", "05", "01,15" or "09..17": what systemd reads as exactly these numbers."""
    if len(numbers) == high - low + 1:
        return "*"
    return ",".join(
        f"{first:02}" if first == last else f"{first:02}..{last:02}"
        for first, last in _runs(sorted(numbers))
    )


def _week(weekdays: frozenset[int]) -> Iterator[str]:
    # systemd's week begins on Monday, and its ranges do not wrap.
    for day in sorted(weekdays, key=lambda day: day or SUNDAY):
        yield DAYS[day]


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours; two neighbours are no run."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            run = numbers[start:index]
            if len(run) > 2:
                yield run[0], run[-1]
            else:
                yield from ((number, number) for number in run)
            start = index
