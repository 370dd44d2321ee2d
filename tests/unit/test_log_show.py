"""Entries as text for people and as JSON, whatever strangers sent."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hostel.log_join import Entry
from hostel.log_show import day_of, entry_json, entry_text, without_releases, worth_showing
from hostel.logs import Access, Message, parse

ACCESS = Access(
    "2026-01-02 03:04:05.678901 +0530", "::1", "h", "GET", "/a", "HTTP/2.0", 200, 9, 1500, "AAAA"
)  # fmt: skip
PRINTED = Message(
    "2026-01-02 03:04:05.679000 +0530", "wsgi", "error", "7", "1", "[::1]:5", ("hi",), True, "AAAA"
)  # fmt: skip
NOISE = Message("2026-01-02 03:04:05.6 +0530", "wsgi", "info", "7", "1", "-", ("Loading",), False)


def test_a_request_has_its_lines_below_it() -> None:
    head, line = entry_text(Entry(ACCESS, (PRINTED,), 1)).split("\n")
    assert head.endswith("GET /a  200  1.5 ms  AAAA")
    assert line == "          hi"


def test_lines_of_a_request_that_has_not_ended_name_it() -> None:
    head, line = entry_text(Entry(None, (PRINTED,), 1)).split("\n")
    assert head.endswith("  request AAAA")
    assert line == "          hi"


def test_lines_without_a_request_are_shown_as_they_were_written() -> None:
    assert entry_text(Entry(None, (parse(b"raw from C"),), 1)) == "raw from C"  # type: ignore[arg-type]


def test_daily_noise_is_worth_nothing() -> None:
    assert not worth_showing(Entry(None, (NOISE,), 1))
    assert worth_showing(Entry(None, (NOISE, PRINTED), 1))
    assert list(entry_json(Entry(None, (NOISE,), 1))) == []


def test_json_says_what_there_is_to_say() -> None:
    request, line = map(json.loads, entry_json(Entry(ACCESS, (NOISE, PRINTED), 1)))
    assert request == {
        "version": 1, "time": "2026-01-02T03:04:05.678901+05:30", "kind": "request",
        "request": "AAAA", "method": "GET", "target": "/a", "status": 200, "ms": 1.5, "bytes": 9,
        "client": "::1", "host": "h", "level": None, "message": None, "module": None, "pid": None,
    }  # fmt: skip
    assert set(line) == set(request)
    assert (line["kind"], line["message"], line["request"]) == ("app", "hi", "AAAA")
    assert (line["client"], line["pid"], line["level"]) == ("::1", 7, None)


def test_a_time_without_a_zone_gets_this_machine_s() -> None:
    line = b"2026-01-02 03:04:05.678901\tcore\terror\t7\t1\t127.0.0.1:99\tAH1: x"
    record = parse(line)
    assert isinstance(record, Message)
    (text,) = entry_json(Entry(None, (record,), 1))
    said = json.loads(text)
    assert said["time"][:26] == "2026-01-02T03:04:05.678901"
    assert said["time"][26] in "+-"
    assert (said["kind"], said["module"], said["level"]) == ("server", "core", "error")
    assert said["client"] == "127.0.0.1"


def test_paths_are_those_of_the_project() -> None:
    text = 'File "/srv/hostel/x/releases/0a1b/code/app.py"'
    assert without_releases(text, Path("/srv/hostel/x/releases")) == 'File "app.py"'
    assert without_releases(text, Path("/srv/hostel/x.y")) == text
    assert without_releases(text, None) == text


def test_a_day_is_known_only_from_a_time() -> None:
    assert len(day_of(Entry(ACCESS, (), ACCESS.written))) == 10
    assert day_of(Entry(None, (parse(b"raw"),), 0.0)) == ""  # type: ignore[arg-type]


def harmless(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs", "Cf") for char in text)


@given(st.text(), st.text(), st.text(), st.sampled_from(["wsgi", "core", ""]))
def test_no_text_and_no_json_can_drive_a_terminal(
    sent: str, said: str, number: str, module: str
) -> None:
    """Whatever is in a request, an app's line, or even in httpd's own fields."""
    access = Access(said, sent, sent, sent, sent, sent, 200, 1, 1, number)
    message = Message(said, module, "error", sent, sent, sent, (said, sent), True, number)
    entry = Entry(access, (message,), 0.0)
    for text in (*entry_text(entry).split("\n"), *entry_json(entry)):
        soft = text.replace("\u00ad", "")  # some format characters do no harm
        assert harmless("".join(char for char in soft if unicodedata.category(char) != "Cf"))
        assert "\x1b" not in text
    for text in entry_json(entry):
        assert text.isascii()
        assert text.isprintable()
        json.loads(text)
