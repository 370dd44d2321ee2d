"""The texts of systemd units, as far as they can be told without a systemd.

Whole texts are in tests/golden/units; what systemd makes of them is tried in tests/contract.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.systemd_hardening import HARDENING
from hostel.systemd_units import (
    InstanceUnit,
    JobUnit,
    Runs,
    Unquotable,
    WorkerUnit,
    command,
    cron_service,
    cron_timer,
    instance_dropin,
    instance_template,
    job_name,
    quote,
    timer_mark,
    timer_name,
    worker_name,
    worker_unit,
)

RUNS = Runs(
    site="guestbook",
    user="hostel-guestbook",
    group="hostel-guestbook",
    boot=Path("/var/lib/hostel/boot"),
    boot_json=Path("/srv/hostel/guestbook/generations/3/boot.json"),
    writable=(Path("/srv/hostel/guestbook/data"),),
    memory="75%",
    tasks=600,
)
WORKER = WorkerUnit(RUNS, 3, "mailer", 1, ("python", "mail.py"), 30)
JOB = JobUnit(RUNS, "clean", ("python", "clean.py"), ("*-*-* 04:30:00",), 3600)
INSTANCE = InstanceUnit(
    runs=RUNS,
    generation=3,
    run=Path("/run/hostel/guestbook-3"),
    httpd=Path("/usr/sbin/apache2"),
    conf=Path("/srv/hostel/guestbook/generations/3/httpd.conf"),
    ports=(21004, 21005),
    start_seconds=30,
    stop_seconds=60,
    idle_seconds=6,
)
printable = st.text(st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0"))
plain_name = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


def words_of(line: str) -> list[str]:
    """The words of a command line as systemd gives them to a process: escapes, then specifiers,
    then variables."""
    words, index = [], 0
    while index < len(line):
        if line[index] == " ":
            index += 1
            continue
        word, quoted = "", line[index] == '"'
        index += quoted
        while index < len(line) and line[index] != ('"' if quoted else " "):
            if line[index] != "\\":
                word += line[index]
            elif line[index + 1] == "u":
                word += chr(int(line[index + 2 : index + 6], 16))
                index += 5
            else:
                assert line[index + 1] in '"\\'
                word += line[index + 1]
                index += 1
            index += 1
        index += quoted
        words.append(_doubled(_doubled(word, "%"), "$"))
    return words


def _doubled(text: str, sign: str) -> str:
    pieces = text.split(sign * 2)
    assert not any(sign in piece for piece in pieces), "a specifier or variable would be expanded"
    return sign.join(pieces)


@given(st.lists(printable))
def test_any_words_reach_the_process_as_they_were_written(words: list[str]) -> None:
    assert words_of(command(words)) == words


@given(st.lists(printable))
def test_no_word_can_end_its_line_or_continue_it(words: list[str]) -> None:
    line = command(words)
    assert len(line.splitlines()) <= 1
    assert not line.endswith("\\")


@pytest.mark.parametrize("text", ["%n", "$HOME", "${HOME}", ";", "", "!", "\\", "a b"])
def test_what_systemd_would_read_otherwise_is_quoted(text: str) -> None:
    assert words_of(quote(text)) == [text]
    assert quote(text).startswith('"')


@pytest.mark.parametrize("text", ["\0", "\udcff", "\ufffe", "\ufdd0", "\U0001ffff"])
def test_what_systemd_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(Unquotable):
        quote(f"a{text}b")


@pytest.mark.parametrize(
    "broken",
    [
        replace(RUNS, site="a\nExecStartPre=/bin/evil"),
        replace(RUNS, user="a%n"),
        replace(RUNS, user="a b\n"),
        replace(RUNS, group=""),
        replace(RUNS, memory="75%%"),
        replace(RUNS, memory="1\n"),
        replace(RUNS, cpu="all"),
        replace(RUNS, writable=(Path("/a b"),)),
        replace(RUNS, writable=(Path("relative"),)),
        replace(RUNS, writable=(Path('/a"b'),)),
    ],
)
def test_a_setting_that_is_not_plain_is_refused(broken: Runs) -> None:
    with pytest.raises(Unquotable):
        instance_dropin(replace(INSTANCE, runs=broken))
    with pytest.raises(Unquotable):
        worker_unit(replace(WORKER, runs=broken))


def test_a_time_that_is_no_single_line_is_refused() -> None:
    with pytest.raises(Unquotable):
        cron_timer(replace(JOB, calendars=("daily\nOnBootSec=1",)))


Named = st.tuples(plain_name, st.integers(1, 99), plain_name, st.integers(1, 99))


@given(Named, Named)
def test_no_two_workers_or_jobs_share_a_unit(
    one: tuple[str, int, str, int], other: tuple[str, int, str, int]
) -> None:
    def unit(site: str, generation: int, name: str, number: int) -> str:
        return worker_name(WorkerUnit(replace(RUNS, site=site), generation, name, number, (), 1))

    assert (unit(*one) == unit(*other)) == (one == other)
    same = one[0] == other[0] and one[2] == other[2]
    assert (job_name(one[0], one[2]) == job_name(other[0], other[2])) == same
    assert (timer_name(one[0], one[2]) == timer_name(other[0], other[2])) == same


def test_a_job_is_named_alike_in_every_generation_and_marked_by_what_it_does() -> None:
    other = replace(JOB, runs=replace(RUNS, boot_json=Path("/srv/hostel/guestbook/4/boot.json")))
    assert f"[{timer_mark(JOB)}]" in cron_timer(JOB)
    changed = [other, replace(JOB, calendars=("hourly",)), replace(JOB, command=("true",))]
    assert len({timer_mark(job) for job in [JOB, *changed]}) == 4


def test_everything_of_a_site_runs_under_the_same_restraints() -> None:
    for text in (instance_template(), worker_unit(WORKER), cron_service(JOB)):
        assert HARDENING in text


def test_a_limit_of_cores_is_there_only_where_one_is_wanted() -> None:
    assert "CPUQuota" not in instance_dropin(INSTANCE)
    limited = replace(INSTANCE, runs=replace(RUNS, cpu="150%"))
    assert "\nCPUQuota=150%\n" in instance_dropin(limited)


def test_systemd_waits_longer_than_a_drain_can_take() -> None:
    text = instance_dropin(replace(INSTANCE, idle_seconds=16, stop_seconds=300))
    seconds = int(text.partition("TimeoutStopSec=")[2].partition("s")[0])
    assert seconds > 16 + 300
