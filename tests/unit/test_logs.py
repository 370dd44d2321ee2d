"""httpd's logs as people see them: real lines of httpd 2.4 and mod_wsgi 6.1, and hostile ones."""

from __future__ import annotations

import time as tz
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostel.log_join import Joiner, joined, readable
from hostel.logs import Access, Message, Record, formatted, parse, unescaped, visible

DATA = Path(__file__).parents[1] / "data" / "logs"


def records(name: str) -> list[Record]:
    return [parse(line) for line in (DATA / name).read_bytes().splitlines()]


def shown(name: str) -> list[str]:
    return [text for record in joined(records(name)) if (text := formatted(record))]


def as_httpd_escapes(text: bytes) -> bytes:
    """What ap_escape_logitem makes of a client's bytes."""
    short = {8: b"\\b", 10: b"\\n", 13: b"\\r", 9: b"\\t", 11: b"\\v", 34: b'\\"', 92: b"\\\\"}
    return b"".join(
        short.get(byte) or (bytes([byte]) if 32 <= byte < 127 else b"\\x%02x" % byte)
        for byte in text
    )


def access_line(
    request: bytes, host: bytes = b"localhost", status: int = 200, number: bytes | None = None
) -> bytes:
    """With a request's number the line is as it is now, without as it was before there were."""
    fields = [b"2026-01-02 03:04:05.678901", b"127.0.0.1", as_httpd_escapes(host)]
    fields += [str(status).encode(), b"12", b"3456"]
    fields += [as_httpd_escapes(request)] if number is None else [number, as_httpd_escapes(request)]
    return b"\t".join(fields)


def error_line(
    text: bytes, module: str = "wsgi", level: str = "error", thread: int = 1, second: int = 5
) -> bytes:
    head = f"2026-01-02 03:04:{second:02}.678901\t{module}\t{level}\t99\t{thread}\t-\t"
    return head.encode() + as_httpd_escapes(text)


def obeyed(text: str) -> list[str]:
    """The characters a terminal would act upon, or show in another order."""
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return [
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(char) in bidi
    ]


# -- requests -------------------------------------------------------------------------------


def test_a_request_is_taken_apart() -> None:
    record = parse(access_line(b"GET /a%2Fb?c=%22 HTTP/1.1", b"site.example:8443", 404))
    assert record == Access(
        time="2026-01-02 03:04:05.678901",
        client="127.0.0.1",
        host="site.example:8443",
        method="GET",
        target="/a%2Fb?c=%22",
        protocol="HTTP/1.1",
        status=404,
        size=12,
        micros=3456,
    )


def test_a_request_is_shown_on_one_line() -> None:
    record = parse(access_line(b"POST /entries HTTP/2.0", status=303))
    assert formatted(record) == "03:04:05  POST /entries  303  3.5 ms"


@pytest.mark.parametrize(
    ("request_line", "parts"),
    [
        (b"GET / HTTP/1.1", ("GET", "/", "HTTP/1.1")),
        (b"GARBAGE", ("GARBAGE", "", "")),
        (b"GET /a b HTTP/1.1", ("GET", "/a b", "HTTP/1.1")),
        (b"GET /a b", ("GET", "/a b", "")),
        (b"-", ("-", "", "")),
        (b"GET /\xff HTTP/1.1", ("GET", "/\\xff", "HTTP/1.1")),
        ("GET /é HTTP/1.1".encode(), ("GET", "/é", "HTTP/1.1")),
        (b'GET /"\\ HTTP/1.1', ("GET", '/"\\', "HTTP/1.1")),
    ],
)
def test_malformed_request_lines_lose_nothing(
    request_line: bytes, parts: tuple[str, str, str]
) -> None:
    record = parse(access_line(request_line))
    assert isinstance(record, Access)
    assert (record.method, record.target, record.protocol) == parts


@pytest.mark.parametrize(("status", "code"), [(200, "32"), (302, "36"), (404, "33"), (500, "31")])
def test_colour_goes_by_the_class_of_the_status_and_only_when_asked(status: int, code: str) -> None:
    record = parse(access_line(b"GET / HTTP/1.1", status=status))
    assert f"\x1b[{code}m{status}\x1b[0m" in formatted(record, color=True)
    assert "\x1b" not in formatted(record)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.0 ms"), (99_940, "99.9 ms"), (250_000, "250 ms"), (1_500_000, "1.5 s")],
)
def test_durations_are_easy_to_compare(micros: int, text: str) -> None:
    record = Access("2026-01-02 03:04:05.6", "::1", "h", "GET", "/", "HTTP/1.1", 200, 1, micros)
    assert formatted(record).endswith(text)


def test_a_very_long_target_is_cut() -> None:
    text = formatted(parse(access_line(b"GET /" + b"x" * 8000 + b" HTTP/1.1")))
    assert len(text) < 450
    assert "…" in text


@given(st.binary())
def test_whatever_a_client_sends_is_read_back_as_it_was(sent: bytes) -> None:
    expected = sent.decode("utf-8", "backslashreplace")
    assert unescaped(as_httpd_escapes(sent)) == expected
    record = parse(access_line(b"GET /" + sent + b" HTTP/1.1", sent))
    assert isinstance(record, Access)
    assert record.target == "/" + expected
    assert record.host == expected


@given(st.binary(), st.sampled_from(["wsgi", "core"]))
@example(b"\x1b]0;title\x07", "core")
@example("\u202egnp.exe\u2028\x9b31m".encode(), "wsgi")
@example(b"\x1b[\x1b[0m31m", "wsgi")
@example(b"AH00001: x\n12:00:00  GET / 200", "core")
def test_no_request_and_no_message_can_drive_a_terminal(sent: bytes, module: str) -> None:
    """Neither as a target or method, nor in a message of httpd or an app, nor as a raw line."""
    lines = [access_line(sent), access_line(b"GET " + sent), error_line(sent, module)]
    lines.append(access_line(sent, number=b"a6s2mg5EcIw"))
    lines.append(sent.replace(b"\n", b""))
    for line in lines:
        record = parse(line)
        assert obeyed(formatted(record, noise=True)) == []
        painted = formatted(record, color=True, noise=True)
        assert painted.count("\x1b") in (0, 2)


@given(st.text())
def test_shown_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    assert obeyed(visible(text)) == []


@given(st.binary(max_size=300))
def test_no_line_however_broken_is_an_error(line: bytes) -> None:
    formatted(parse(line))
    assert isinstance(readable(line.decode("utf-8", "replace")), list)


@pytest.mark.parametrize("field", [b"9" * 5000, b"\xc2\xb2", b"-1", b""])
def test_numbers_that_are_none_make_it_plain_text(field: bytes) -> None:
    line = access_line(b"GET / HTTP/1.1").replace(b"3456", field)
    assert isinstance(parse(line), Message)


def test_a_request_has_the_id_that_httpd_gave_it() -> None:
    record = parse(access_line(b"GET /a\tb HTTP/1.1", number=b"0+M2mg5Fc/w"))
    assert isinstance(record, Access)
    assert (record.request, record.target) == ("0+M2mg5Fc/w", "/a\tb")
    none = parse(access_line(b"GET / HTTP/1.1", number=b"-"))
    assert isinstance(none, Access)
    assert none.request == ""


def test_a_message_has_the_id_of_its_request() -> None:
    (record,) = [one for one in records("joined-error.log") if "printed /a" in formatted(one)]
    assert isinstance(record, Message)
    assert (record.request, record.app) == ("xbVY5ra1L20", True)
    assert {one.request for one in records("requests-error.log")} == {""}


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("1970-01-01 00:00:01.500000 +0000", 1.5),
        ("1970-01-01 05:30:01.500000 +0530", 1.5),
        ("1969-12-31 20:30:01.500000 -0330", 1.5),
        ("-", 0.0),
        ("9999-99-99 00:00:00.000000 +0000", 0.0),
        ("0001-01-01 00:00:00.000000 +0530", 0.0),
    ],
)
def test_times_are_moments_in_whatever_zone_an_app_has_put_its_process(
    time: str, moment: float
) -> None:
    record = Access(time, "::1", "h", "GET", "/", "HTTP/1.1", 200, 1, 250_000)
    assert max(record.at, 0.0) == moment
    assert record.written == record.at + 0.25


def test_the_time_shown_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-3")
    tz.tzset()
    try:
        line = access_line(b"GET / HTTP/1.1").replace(b".678901", b".678901 +0530")
        assert formatted(parse(line)).startswith("00:34:05  GET")
    finally:
        monkeypatch.undo()
        tz.tzset()


# -- messages -------------------------------------------------------------------------------


def test_what_an_app_prints_is_shown_as_it_was_printed() -> None:
    text = shown("requests-error.log")
    assert "print at import é ☃" in text
    assert 'hello   tab back\\slash quote"q red é☃' in text
    assert text[text.index("multi") :][:3] == ["multi", "line", "end"]
    assert "WARNING:guest:logged at import" in text
    assert "to wsgi.errors" in text


def test_what_was_written_past_python_is_shown_too() -> None:
    assert "raw fd 2 " in shown("requests-error.log")


def test_tracebacks_are_whole() -> None:
    (text,) = [text for text in shown("requests-error.log") if "RuntimeError: outer" in text]
    first, second, *_, last = text.split("\n")
    assert first.endswith("WSGI0174: RuntimeError raised by the app")
    assert second == "Traceback (most recent call last):"
    assert "ValueError: bad" in text
    assert "The above exception was the direct cause" in text
    assert last == "RuntimeError: outer"


def test_tracebacks_of_two_processes_are_not_mixed_though_their_lines_are() -> None:
    blocks = [text for text in shown("import-error.log") if "Traceback" in text]
    assert len(blocks) == 2
    assert all(
        text.count("Traceback") == text.count("ModuleNotFoundError: ") == 1 for text in blocks
    )


def test_a_failure_that_every_process_logs_is_told_once() -> None:
    lines = readable((DATA / "import-error.log").read_text())
    assert lines.count("ModuleNotFoundError: No module named 'helper_that_is_not_there'") == 1
    assert sum("WSGI0110" in line for line in lines) == 1


def test_what_each_process_prints_is_told_once_and_what_one_repeats_is_told() -> None:
    text = "".join(
        f"2026-11-24 10:00:00.00000{number} +0000\twsgi\terror\t{pid}\t1\t-\t-\t{said}\n"
        for number, (pid, said) in enumerate([(7, "up"), (8, "up"), (7, "."), (7, "."), (8, ".")])
    )
    assert [line.split()[-1] for line in readable(text)] == ["up", ".", "."]
    assert len(readable(text + "a crash\n" * 4)) == 4


def test_lines_of_others_are_left_out_and_those_that_name_nobody_are_not() -> None:
    line = "2026-11-24 10:00:00.000000 +0000\twsgi\terror\t{0}\t1\t-\t-\tby {0}\n"
    text = line.format(7) + line.format(8) + "a crash\n"
    found = readable(text, "8".__eq__)
    assert [words for words in ("by 7", "by 8", "a crash") if words in "\n".join(found)] == [
        "by 7",
        "a crash",
    ]


def test_a_print_before_a_traceback_stays_before_it() -> None:
    lines = readable((DATA / "import-error.log").read_text())
    assert lines.index("before") < lines.index("Traceback (most recent call last):")


def test_a_line_httpd_has_cut_says_so() -> None:
    line = error_line(b"x" * 20_000)
    assert formatted(parse(line[:8190])).endswith("x … (cut by httpd)")
    assert formatted(parse(line[:8000])).endswith("xx")


def test_daily_noise_is_dropped_unless_asked_for() -> None:
    lines = records("import-error.log")
    text = "\n".join(formatted(line) for line in lines)
    for noise in ("AH00489", "AH00094", "Initializing Python", "Loading WSGI", "AH00491"):
        assert noise not in text
        assert any(noise in formatted(line, noise=True) for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        b"WSGI0042: Callback registration for signal 15 ignored.",
        b"mod_wsgi (pid=12): Callback registration for signal 2 ignored.",
    ],
)
def test_ignored_signal_handlers_are_noise(text: bytes) -> None:
    assert formatted(parse(error_line(text, level="warn"))) == ""


def test_codes_of_httpd_are_shown() -> None:
    line = error_line(b"AH10244: invalid URI path (/../..)", "core")
    assert formatted(parse(line)) == (
        "03:04:05  httpd core error: AH10244: invalid URI path (/../..)"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b"mod_wsgi (pid=7): Exception occurred processing WSGI script '/srv/x.py'.",
            "03:04:05  mod_wsgi: an exception raised by the app",
        ),
        (
            b"mod_wsgi (pid=7): Failed to exec Python script file '/srv/x.py'.",
            "03:04:05  mod_wsgi: mod_wsgi (pid=7): Failed to exec Python script file '/srv/x.py'.",
        ),
        (
            b"WSGI0174: [script /srv/a] b/x.py] KeyError exception raised processing WSGI script "
            b"'/srv/a] b/x.py' for main interpreter in embedded mode.",
            "03:04:05  mod_wsgi: WSGI0174: KeyError raised by the app",
        ),
    ],
)
def test_older_words_of_mod_wsgi_and_odd_paths_are_understood(text: bytes, expected: str) -> None:
    assert formatted(parse(error_line(text))) == expected


def test_a_line_break_that_came_in_a_message_stays_escaped() -> None:
    line = error_line(b"AH00126: Invalid URI /\n03:04:05  GET /forged  200", "core")
    assert "\n" not in formatted(parse(line))


def test_a_traceback_is_held_until_its_thread_is_quiet() -> None:
    joiner = Joiner()
    assert list(joiner.feed(parse(error_line(b"Traceback (most recent call last):")))) == []
    assert list(joiner.flush(idle_only=True)) == []
    other = parse(error_line(b"hello", thread=2))
    assert list(joiner.feed(other)) == [other]
    assert list(joiner.feed(parse(error_line(b"ValueError: x")))) == []
    assert list(joiner.flush(idle_only=True)) == []
    (whole,) = joiner.flush(idle_only=True)
    assert isinstance(whole, Message)
    assert whole.lines == ("Traceback (most recent call last):", "ValueError: x")


def test_a_thread_s_next_request_is_no_part_of_the_last_one_s_traceback() -> None:
    joiner = Joiner()
    first, second = (
        parse(error_line(text).replace(b"\t-\t", b"\t-\t" + number + b"\t"))
        for text, number in ((b"Traceback (most recent call last):", b"AAAA"), (b"next", b"BBBB"))
    )
    list(joiner.feed(first))
    assert [one.lines for one in joiner.feed(second) if isinstance(one, Message)] == [
        ("Traceback (most recent call last):",),
        ("next",),
    ]


def test_a_thread_that_never_falls_silent_cannot_hold_its_lines_for_ever() -> None:
    joiner = Joiner()
    list(joiner.feed(parse(error_line(b"Traceback (most recent call last):"))))
    line = parse(error_line(b"more"))
    assert any(list(joiner.feed(line)) for _ in range(Joiner.LIMIT + 1))
