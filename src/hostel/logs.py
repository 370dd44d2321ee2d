"""httpd's logs as records and as text for people. Pure: `hostel.tail` reads the files.

The two formats below are part of the contract: httpd.conf is written with them and only lines
in them are taken apart. Whatever else lands in a log (a library's own message on stderr, say)
is shown as it is. No text that leaves `formatted` can drive a terminal. What belongs together
is put together by `hostel.log_join`.

Times carry their zone: an app that sets its own (Django does) sets it for httpd's logs as well.
The request's id is httpd's own `%L`; whatever mod_wsgi logs for a request has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

ERROR_LOG_FORMAT = r"%-{cuz}t\t%-m\t%-l\t%-P\t%-T\t%-a\t%-L\t%M"
"""Time, module, level, process, thread, client, request, message; "-" for what is missing."""

ACCESS_LOG_FORMAT = r"%{%Y-%m-%d %H:%M:%S}t.%{usec_frac}t %{%z}t\t%a\t%{Host}i\t%>s\t%B\t%D\t%L\t%r"
"""Time the request came, client, Host, status, bytes of the body, microseconds, request's id,
request line."""

LINE_LIMIT = 8187
"""httpd cuts its error log's lines without a word at 8190 bytes, never within an escape."""

TARGET_SHOWN = 400


@dataclass(frozen=True)
class Access:
    """One request, as the client sent it: `target` is neither decoded nor escaped."""

    time: str
    client: str
    host: str
    method: str
    target: str
    protocol: str
    status: int
    size: int
    micros: int
    request: str = ""

    @cached_property
    def at(self) -> float:
        """When the request came, in seconds since the epoch; 0.0 where nothing says."""
        return moment(self.time)

    @property
    def written(self) -> float:
        """When its line was written: at its end. Lines follow each other by this."""
        return self.at + self.micros / 1_000_000


@dataclass(frozen=True)
class Message:
    """One line of the error log, or a traceback whole.

    `module` is "" for a line in no format of ours. `app` says that the app wrote it (print,
    logging, a traceback), so that it is shown as it was written.
    """

    time: str
    module: str
    level: str
    pid: str
    thread: str
    client: str
    lines: tuple[str, ...]
    app: bool
    request: str = ""

    @cached_property
    def at(self) -> float:
        """When it was written, in seconds since the epoch; 0.0 where nothing says."""
        return moment(self.time)

    @property
    def written(self) -> float:
        return self.at

    @property
    def noise(self) -> bool:
        """What httpd and mod_wsgi say every day and nobody needs."""
        if self.app:
            return False
        if self.module == "wsgi":
            return self.level in ("info", "debug") or bool(_CALLBACK.match(self.lines[0]))
        return bool(_DAILY.match(self.lines[0]))


Record = Access | Message

_LEVELS = frozenset(
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"]
    + [f"trace{n}" for n in range(1, 9)]
)

_DAILY = re.compile(
    # Start and stop, restarts that Hostel asked for, the command line, the lack of a FQDN.
    r"AH(00489|00094|00491|00492|00493|00494|00558):"
    # Hostel gives httpd few processes and threads, and lets all of them serve.
    r"|AH10159:"
    # The PROXY protocol, which a router speaks to each instance.
    r"|AH03492:"
    # The certificate of the local CA, and a session cache that is off by decision.
    r"|AH(01873|01906|01909|02292):"
)
_CALLBACK = re.compile(
    r"(?:WSGI\d{4}: )?(?:mod_wsgi \(pid=\d+\): )?Callback registration for signal"
)

# mod_wsgi's own words come in three generations: before 6 with "mod_wsgi (pid=N):", from 6 on
# with WSGI####; those of level info are plain, and noise anyway.
_MOD_WSGI = re.compile(r"(?:WSGI\d{4}: |mod_wsgi \(pid=\d+)")
_SCRIPT = re.compile(r"^(WSGI\d{4}: )?\[script .*?\.(?:py|wsgi)\] ?")
_RAISED = re.compile(
    r"(?:(WSGI\d{4}): )?(?:mod_wsgi \(pid=\d+[^)]*\): )?"
    r"(?:(\w+) exception raised|Exception occurred) (?:processing|by|within) WSGI script '.*"
)
_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def parse(line: bytes) -> Record:
    """One line of either log, without its newline; what is in no format becomes plain text.

    Lines of before there were request ids are understood as well.
    """
    fields = line.split(b"\t", 7)
    request = "-"
    if len(fields) == 8 and _ID.fullmatch(fields[6]):
        request = fields.pop(6).decode("ascii")
    if len(fields) == 7:
        request = "" if request == "-" else request
        # In an error line the sixth field is "-" or address:port, so it cannot pass for this.
        if all(_NUMBER.fullmatch(field) for field in fields[3:6]):
            return _access([unescaped(field) for field in fields], request)
        if fields[2].decode("ascii", "replace") in _LEVELS:
            return _message(
                [unescaped(field) for field in fields], request, len(line) >= LINE_LIMIT
            )
    return Message("", "", "", "", "", "", (line.decode("utf-8", "backslashreplace"),), True)


def moment(time: str) -> float:
    """A log's time in seconds since the epoch, 0.0 if it is none; without a zone it is local."""
    try:
        return read_time(time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def read_time(time: str) -> datetime:
    """A log's time; raises ValueError for what is none."""
    return datetime.fromisoformat(time.replace(" +", "+").replace(" -", "-"))


def unescaped(field: bytes) -> str:
    r"""What httpd logged as `\xhh`, `\n`, `\"` and so on, as it was."""
    return _ESCAPE.sub(_one, field).decode("utf-8", "backslashreplace")


def formatted(record: Record, color: bool = False, noise: bool = False) -> str:
    """The record for people: one line for a request, the app's own text as it wrote it.

    "" for daily noise, unless `noise` asks for it. Coloured only if `color` says so.
    """
    if isinstance(record, Access):
        return _request(record, color)
    if record.noise and not noise:
        return ""
    # A line break within a line is one that httpd escaped: it stays escaped.
    lines = [visible(line) for line in record.lines]
    if record.app or not record.module:
        return "\n".join(lines)
    label = f"{clock(record)}  httpd {record.module} {record.level}: "
    if record.module == "wsgi":
        label = f"{clock(record)}  mod_wsgi: "
    code = {"info": "2", "notice": "2", "debug": "2", "warn": "33"}.get(record.level, "31")
    first, *others = lines
    return "\n".join([_painted(visible(label) + first, code, color), *others])


def clock(record: Record) -> str:
    """The time of day here, whatever zone the line was written in."""
    if len(record.time) > len("2026-01-02 03:04:05.678901") and record.at:
        return datetime.fromtimestamp(record.at).strftime("%H:%M:%S")
    return record.time[11:19]


def visible(text: str) -> str:
    """The text with nothing in it that a terminal would obey: escaped, but for tabs, expanded.

    Colours (SGR) of an app's own log are taken out: escaped, they would be all one sees.
    """
    return _UNSAFE.sub(_code_point, _SGR.sub("", text).expandtabs(8))


# -- within ---------------------------------------------------------------------------------

_NUMBER = re.compile(rb"\d{1,18}")
_ID = re.compile(rb"-|[A-Za-z0-9+/@_=-]{1,64}")
_ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]{2}|[abfnrtv\\"])')
_LETTERS = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
    b"\\": b"\\", b'"': b'"',
}  # fmt: skip

# Controls (C0, DEL, C1), what reorders text (bidi), breaks lines (LS, PS), or cannot be encoded.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _one(match: re.Match[bytes]) -> bytes:
    what = match[1]
    return bytes([int(what[1:], 16)]) if what[:1] == b"x" and len(what) == 3 else _LETTERS[what]


def _code_point(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _access(fields: list[str], request: str) -> Access:
    time, client, host, status, size, micros, line = fields
    method, _, rest = line.partition(" ")
    # A target with spaces in it is malformed, but it is what was sent.
    target, gap, protocol = rest.rpartition(" ")
    if not gap or not protocol.startswith("HTTP/"):
        target, protocol = rest, ""
    numbers = int(status), int(size), int(micros)
    return Access(time, client, host, method, target, protocol, *numbers, request)


def _message(fields: list[str], request: str, cut: bool) -> Message:
    time, module, level, pid, thread, client, text = fields
    app = False
    if module == "wsgi" and level not in ("info", "debug"):
        text = _SCRIPT.sub(r"\1", text)
        app = not _MOD_WSGI.match(text)
        raised = _RAISED.match(text)
        if raised:
            code = f"{raised[1]}: " if raised[1] else ""
            text = f"{code}{raised[2] or 'an exception'} raised by the app"
    if cut:
        text += " … (cut by httpd)"
    return Message(time, module, level, pid, thread, client, (text,), app, request)


def _request(record: Access, color: bool) -> str:
    target = visible(record.target)
    if len(target) > TARGET_SHOWN:
        target = target[:TARGET_SHOWN] + "…"
    code = {2: "32", 3: "36", 4: "33", 5: "31"}.get(record.status // 100, "0")
    status = _painted(str(record.status), code, color)
    head = f"{visible(clock(record))}  {visible(record.method)} {target}"
    return f"{head}  {status}  {_duration(record.micros)}"


def _duration(micros: int) -> str:
    if micros < 1_000_000:
        return f"{micros / 1000:.1f} ms" if micros < 100_000 else f"{micros / 1000:.0f} ms"
    return f"{micros / 1_000_000:.1f} s"


def _painted(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
