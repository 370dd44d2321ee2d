"""Requests get the lines they wrote, and nothing is lost, doubled or given to another one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.log_join import LATE, Entry, Requests
from hostel.logs import Access, Message, Record, parse

DATA = Path(__file__).parents[1] / "data" / "logs"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000")


def access(request: str, began: float, took: float, status: int = 200) -> Access:
    micros = round(took * 1_000_000)
    return Access(
        stamp(began), "::1", "h", "GET", f"/{request}", "HTTP/1.1", status, 1, micros, request
    )


def message(
    text: str, request: str, at: float, pid: str = "1", module: str = "wsgi", app: bool = True
) -> Message:
    return Message(stamp(at), module, "error", pid, "1", "-", (text,), app, request)


def told(records: list[Record], hold: float = 60) -> list[Entry]:
    """All entries of records that become known at the time they were written."""
    requests, out, now = Requests(hold), [], 0.0
    for record in sorted(records, key=lambda one: one.written):
        now = max(now, record.written)
        out += requests.feed(record, now)
    return [*out, *requests.flush()]


def texts(entry: Entry) -> list[str]:
    return [line for message in entry.messages for line in message.lines]


def of(entries: list[Entry], request: str) -> Entry:
    (found,) = [entry for entry in entries if entry.request == request]
    return found


def test_each_request_of_a_real_log_has_what_it_wrote() -> None:
    records = [
        parse(line)
        for name in ("joined-access.log", "joined-error.log")
        for line in (DATA / name).read_bytes().splitlines()
    ]
    entries = told(records)
    slow = of(entries, "T+BY5raqLm0")
    assert slow.access is not None
    assert slow.access.target == "/slow"
    assert texts(slow) == ["printed /slow", "WARNING:root:logged /slow", "after"]
    boom = of(entries, "iuUS5bZqLm0")
    assert texts(boom)[:2] == ["printed /boom", "WARNING:root:logged /boom"]
    assert boom.messages[2].lines[-1] == "ValueError: bad"
    assert len(boom.messages) == 3


def test_what_requests_wrote_before_their_process_crashed_is_told_before_the_crash() -> None:
    records = [parse(line) for line in (DATA / "joined-error.log").read_bytes().splitlines()]
    entries = [entry for entry in told(records) if not all(one.noise for one in entry.messages)]
    order = [entry.request or texts(entry)[0][:7] for entry in entries]
    crash = order.index("AH00052")
    assert {"ttAS5bZtLm0", "FNIS5batLm0"} <= set(order[:crash])
    assert all(entry.access is None for entry in entries[: crash + 1])


def test_a_request_and_its_lines_are_told_when_it_has_ended_and_not_before() -> None:
    requests = Requests(hold=60)
    assert list(requests.feed(message("hello", "A", 1.0), 1.0)) == []
    assert list(requests.advance(30.0)) == []
    assert list(requests.feed(access("A", 0.5, 30), 30.5)) == []
    # A line of it may take another way and come later.
    assert list(requests.feed(message("bye", "A", 30.4), 30.6)) == []
    (entry,) = requests.advance(30.5 + LATE)
    assert texts(entry) == ["hello", "bye"]


def test_a_request_that_runs_long_is_told_in_parts() -> None:
    requests = Requests(hold=2)
    list(requests.feed(message("begun", "A", 1.0), 1.0))
    (part,) = requests.advance(3.0)
    assert (part.access, part.request, texts(part)) == (None, "A", ["begun"])
    list(requests.feed(message("done", "A", 9.0), 9.0))
    list(requests.feed(access("A", 0.5, 8.6), 9.1))
    (end,) = requests.advance(10.0)
    assert end.access is not None
    assert texts(end) == ["done"]


def test_a_request_that_writes_without_end_does_not_fill_our_memory() -> None:
    requests = Requests(hold=1e9)
    for number in range(3 * Requests.LINES_OF_ONE):
        list(requests.feed(message(str(number), "A", 1.0), 1.0))
    assert sum(len(entry.messages) for entry in requests.advance(2.0)) == 3 * Requests.LINES_OF_ONE


def test_many_requests_without_an_end_do_not_fill_our_memory() -> None:
    requests = Requests(hold=1e9)
    requests.LINES_OF_ALL = 100
    for number in range(1000):
        list(requests.feed(message("x", f"id{number}", 1.0), 1.0))
    early = sum(len(entry.messages) for entry in requests.advance(2.0))
    assert early >= 900
    assert early + sum(len(entry.messages) for entry in requests.flush()) == 1000


def test_lines_without_a_request_pass_by_themselves_and_tracebacks_whole() -> None:
    entries = told([
        message("at import", "", 1.0),
        message("Traceback (most recent call last):", "", 2.0),
        message("  File x", "", 2.0),
        message("other process", "", 2.0, pid="2"),
        message("ValueError: x", "", 2.0),
    ])  # fmt: skip
    assert sorted(texts(entry) for entry in entries) == sorted([
        ["at import"],
        ["other process"],
        ["Traceback (most recent call last):", "  File x", "ValueError: x"],
    ])  # fmt: skip


def test_entries_come_in_the_order_of_their_ends() -> None:
    entries = told([access("A", 1, 9), access("B", 2, 1), message("loose", "", 5)])
    assert [entry.request for entry in entries] == ["B", "", "A"]


@pytest.mark.parametrize(
    ("entry", "failed"),
    [
        (Entry(access("A", 1, 1, 503), (), 1), True),
        (Entry(access("A", 1, 1, 404), (), 1), False),
        (Entry(access("A", 1, 1), (message("hello", "A", 1),), 1), False),
        (Entry(access("A", 1, 1), (message("ERROR:root:no", "A", 1),), 1), True),
        (Entry(access("A", 1, 1), (message("12:00 [ERROR] no", "A", 1),), 1), True),
        (Entry(None, (message("Traceback (most recent call last):", "", 1),), 1), True),
        (Entry(None, (message("no ERRORS today", "", 1),), 1), False),
        (Entry(None, (message("AH1: x", "", 1, module="core", app=False),), 1), True),
    ],
)
def test_errors_are_5xx_tracebacks_and_what_is_called_one(entry: Entry, failed: bool) -> None:
    assert entry.failed is failed


IDS = st.sampled_from(["A", "B", "C", ""])
TIMES = st.floats(1, 500)


@given(
    st.lists(st.tuples(IDS, TIMES), max_size=40),
    st.lists(st.tuples(st.sampled_from("ABC"), TIMES, st.floats(0, 100)), max_size=8),
    st.sampled_from([0.0, 2.0, 60.0]),
)
def test_every_record_is_told_once_and_with_its_own_request(
    written: list[tuple[str, float]], ended: list[tuple[str, float, float]], hold: float
) -> None:
    messages = [message(str(n), request, at) for n, (request, at) in enumerate(written)]
    entries = told([*messages, *(access(*one) for one in ended)], hold)
    assert Counter(text for entry in entries for text in texts(entry)) == Counter(
        str(n) for n in range(len(written))
    )
    assert sum(entry.access is not None for entry in entries) == len(ended)
    for entry in entries:
        assert {one.request for one in entry.messages} <= {entry.request}
        assert [one.at for one in entry.messages] == sorted(one.at for one in entry.messages)
