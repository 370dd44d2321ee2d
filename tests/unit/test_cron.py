"""A schedule means to systemd what it means to cron, minute by minute."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostel.cron import NAMED, calendars, schedule, timezone

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed")


# -- cron once more, as crontab(5) describes it: a predicate for each field ----------------------


def number(text: str, words: list[str], first: int) -> int:
    return words.index(text.lower()) + first if text.lower() in words else int(text)


def agrees(field: str, value: int, top: int, words: list[str], first: int) -> bool:
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            low, high = first, top
        else:
            low, high = (number(end, words, first) for end in (span.split("-") * 2)[:2])
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def on_day(said: str, day: date) -> bool:
    _, _, of_month, month, of_week = said.split()
    if not agrees(month, day.month, 12, MONTHS, 1):
        return False
    in_month = agrees(of_month, day.day, 31, [], 1)
    sunday = day.isoweekday() == 7
    in_week = agrees(of_week, day.isoweekday() % 7, 6, DAYS, 0)
    in_week = in_week or (sunday and of_week[0] != "*" and agrees(of_week, 7, 7, DAYS, 0))
    star = of_month.startswith("*") or of_week.startswith("*")
    return (in_month and in_week) if star else (in_month or in_week)


def times(said: str) -> list[tuple[int, int]]:
    minute, hour = said.split()[:2]
    return [
        (h, m)
        for h in range(24)
        for m in range(60)
        if agrees(hour, h, 23, [], 0) and agrees(minute, m, 59, [], 0)
    ]


def due(said: str, start: datetime, count: int) -> list[datetime]:
    """The first minutes after `start` at which cron would run it."""
    found: list[datetime] = []
    at = times(said)
    day = start.date()
    while len(found) < count and day.year < start.year + 45:
        if on_day(said, day):
            moments = [datetime(day.year, day.month, day.day, h, m) for h, m in at]
            found += [moment for moment in moments if moment > start]
        day += timedelta(days=1)
    return found[:count]


# -- schedules of every kind ----------------------------------------------------------------------


def items(low: int, high: int, words: list[str]) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    single = numbers.map(str)
    if words:
        single |= st.sampled_from(words) | st.sampled_from(words).map(str.title)
    pairs = st.tuples(numbers, numbers).map(sorted)
    ranges = pairs.map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.tuples(ranges | st.just("*"), st.integers(1, high)).map(_step)
    return single | ranges | steps | st.just("*")


def _step(parts: tuple[str, int]) -> str:
    return f"{parts[0]}/{parts[1]}"


def fields(low: int, high: int, words: list[str]) -> st.SearchStrategy[str]:
    return st.just("*") | st.lists(items(low, high, words), min_size=1, max_size=3).map(",".join)


schedules = st.tuples(
    fields(0, 59, []),
    fields(0, 23, []),
    fields(1, 31, []),
    fields(1, 12, MONTHS),
    fields(0, 7, DAYS),
).map(" ".join)


# -- systemd's side, in as few words --------------------------------------------------------------

EXPRESSION = re.compile(r"(?:([A-Z][A-Za-z,]+) )?\*-(\S+)-(\S+) (\S+?):(\S+?):00")


def within(part: str, value: int) -> bool:
    if part == "*":
        return True
    spans = ((item.split("..") * 2)[:2] for item in part.split(","))
    return any(int(low) <= value <= int(high) for low, high in spans)


def systemd_on(expression: str, day: date) -> bool:
    match = EXPRESSION.fullmatch(expression)
    assert match, expression
    week, month, of_month = match[1], match[2], match[3]
    name = DAYS[day.isoweekday() % 7].title()
    return (
        within(month, day.month)
        and within(of_month, day.day)
        and (week is None or name in week.split(","))
    )


def systemd_times(expression: str) -> list[tuple[int, int]]:
    match = EXPRESSION.fullmatch(expression)
    assert match, expression
    return [
        (h, m) for h in range(24) for m in range(60) if within(match[4], h) and within(match[5], m)
    ]


CYCLE = [date(2004, 1, 1) + timedelta(days=count) for count in range(28 * 366)]
"""All that a calendar can be: after 28 years it repeats."""

LEAP = [date(2023, 12, 1) + timedelta(days=count) for count in range(460)]


@given(schedules)
@example("0 0 1-31 * Mon")
@example("0 0 */2 * Mon")
@example("0 0 *,5 * Mon")
@example("0 0 31 2 Mon")
@example("*/5 9-17/2 1,15 jan-mar Fri")
@example("0 0 29 2 *")
@example("0 0 * * 5-7")
@example("0 0 1 1 0-7")
@example("0 0 */7 1 0")
def test_every_minute_of_cron_is_one_of_the_timer_and_the_other_way_round(said: str) -> None:
    wanted = [day for day in LEAP if on_day(said, day)]
    if not wanted and not any(on_day(said, day) for day in CYCLE):
        with pytest.raises(ValueError, match="never comes"):
            calendars(said)
        return
    expressions = calendars(said)
    assert [day for day in LEAP if any(systemd_on(one, day) for one in expressions)] == wanted
    for one in expressions:
        assert systemd_times(one) == times(said)


@needs_systemd
@settings(max_examples=60, deadline=None)
@given(schedules, st.datetimes(datetime(2024, 1, 1), datetime(2031, 1, 1)))
@example("30 4 29 2 *", datetime(2025, 3, 1))
@example("0 0 1,15 * 5", datetime(2025, 3, 1))
@example("@weekly", datetime(2026, 11, 24))
def test_systemd_itself_names_the_times_that_cron_would(said: str, start: datetime) -> None:
    start = start.replace(microsecond=0)
    try:
        expressions = calendars(said)
    except ValueError:
        return
    found = sorted({moment for one in expressions for moment in elapses(one, start, 4)})
    assert found[:4] == due(NAMED.get(said, said), start, 4)


def elapses(expression: str, start: datetime, count: int) -> Iterator[datetime]:
    """When a timer with this OnCalendar elapses, asked of systemd."""
    assert SYSTEMD
    argv = [SYSTEMD, "calendar", f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC"]
    env = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    done = subprocess.run(
        [*argv, f"--iterations={count}", expression], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout):
        yield datetime.fromisoformat(line)


# -- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expressions"),
    [
        ("* * * * *", ("*-*-* *:*:00",)),
        ("*/15 * * * *", ("*-*-* *:00,15,30,45:00",)),
        ("30 4 * * Mon-Fri", ("Mon,Tue,Wed,Thu,Fri *-*-* 04:30:00",)),
        ("0 9-17 * * *", ("*-*-* 09..17:00:00",)),
        ("0 0 1 * sun", ("*-*-01 00:00:00", "Sun *-*-* 00:00:00")),
        ("0 0 31 2 7", ("Sun *-02-* 00:00:00",)),
        ("0 0 * * sat-sun", ("Sat,Sun *-*-* 00:00:00",)),
        ("0 0 1-31 * 5", ("*-*-* 00:00:00",)),
        ("@hourly", ("*-*-* *:00:00",)),
        ("@Midnight", ("*-*-* 00:00:00",)),
        ("@weekly", ("Sun *-*-* 00:00:00",)),
        ("@annually", ("*-01-01 00:00:00",)),
    ],
)
def test_what_becomes_of_a_schedule(said: str, expressions: tuple[str, ...]) -> None:
    assert calendars(said) == expressions


def test_each_expression_ends_with_the_time_zone_that_was_given() -> None:
    assert calendars("0 3 1 * Mon", "Europe/Berlin") == (
        "*-*-01 03:00:00 Europe/Berlin",
        "Mon *-*-* 03:00:00 Europe/Berlin",
    )


@needs_systemd
def test_systemd_reads_the_time_zone() -> None:
    assert SYSTEMD
    (one,) = calendars("0 3 * * *", "Asia/Tokyo")
    argv = [SYSTEMD, "calendar", "--base-time=2026-01-01 00:00:00 UTC", one]
    done = subprocess.run(argv, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True)
    assert "2026-01-01 18:00:00 UTC" in done.stdout


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("Mon *-*-* 03:00:00", "five fields"),
        ("daily", "five fields"),
        ("@reboot", r"\[workers\]"),
        ("@fortnightly", "none of @hourly"),
        ("60 * * * *", "minute: .* from 0 to 59"),
        ("* 24 * * *", "hour: "),
        ("* * 0 * *", "day of the month: .* from 1 to 31"),
        ("* * * 13 *", "month: .* nor any of jan feb"),
        ("* * * * 8", "day of the week: "),
        ("* * * * Mo", "day of the week: "),
        ("mon * * * *", "minute: "),
        ("*/0 * * * *", "step"),
        ("*/60 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("5/10 * * * *", '"5-59/10"'),
        ("* 22-6 * * *", '"22-23,0-6"'),
        ("* * * * Fri-Mon", '"Fri-6,0-Mon"'),
        ("* 22-6/2 * * *", "write two ranges"),
        ("*-5 * * * *", "neither a number"),
        ("1, * * * *", "neither a number"),
        ("-1 * * * *", "neither a number"),
        ("* * L * *", "day of the month: "),
        ("* * 15W * *", "day of the month: "),
        ("* * * * 5#2", "neither a number"),
        ("* * ? * *", "neither a number"),
        ("٣ * * * *", "neither a number"),
        ("000 * * * *", "minute: "),
        ("0 0 31 2 *", "Feb has no day 31"),
        ("0 0 30-31 2 *", "Feb has no day 30"),
        ("0 0 31 4,6 *", "Apr or Jun has no day 31"),
    ],
)
def test_what_is_no_schedule_is_refused_in_words(said: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        calendars(said)


@given(st.text() | st.text("0123456789*/-,@ monJAN\n", max_size=20))
def test_any_text_is_a_schedule_of_plain_words_or_refused_in_one_line(said: str) -> None:
    try:
        settled = schedule(said)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.isprintable()
        return
    assert calendars(settled) == calendars(said)
    assert all(re.fullmatch(r"[A-Za-z0-9*:., -]+", one) for one in calendars(said))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_names_of_time_zones(zone: str) -> None:
    assert timezone(zone) == zone


@pytest.mark.parametrize("zone", ["", "/etc/passwd", "../x", "a b", "Europe/", "A\nB", "%i", "+1"])
def test_what_could_name_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        timezone(zone)
