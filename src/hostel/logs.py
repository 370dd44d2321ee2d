"""httpd's logs as records and as text for people. Pure: `hostel.tail` reads the files.

The two formats below are part of the contract: httpd.conf is written with them and only lines
in them are taken apart. Whatever else lands in a log (a library's own message on stderr, say)
is shown as it is. No text that leaves `formatted` can drive a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

ERROR_LOG_FORMAT = r"%-{cu}t\t%-m\t%-l\t%-P\t%-T\t%-a\t%M"
"""Time, module, level, process, thread, client, message; "-" for what is missing."""

ACCESS_LOG_FORMAT = r"%{%Y-%m-%d %H:%M:%S}t.%{usec_frac}t\t%a\t%{Host}i\t%>s\t%B\t%D\t%r"
"""Time the request came, client, Host, status, bytes of the body, microseconds, request line."""

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
    """One line of either log, without its newline; what is in no format becomes plain text."""
    fields = line.split(b"\t", 6)
    if len(fields) == 7:
        # In an error line the sixth field is "-" or address:port, so it cannot pass for this.
        if all(_NUMBER.fullmatch(field) for field in fields[3:6]):
            return _access([unescaped(field) for field in fields])
        if fields[2].decode("ascii", "replace") in _LEVELS:
            return _message([unescaped(field) for field in fields], len(line) >= LINE_LIMIT)
    return Message("", "", "", "", "", "", (line.decode("utf-8", "backslashreplace"),), True)


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
    label = f"{record.time[11:19]}  httpd {record.module} {record.level}: "
    if record.module == "wsgi":
        label = f"{record.time[11:19]}  mod_wsgi: "
    code = {"info": "2", "notice": "2", "debug": "2", "warn": "33"}.get(record.level, "31")
    first, *others = lines
    return "\n".join([_painted(visible(label) + first, code, color), *others])


def visible(text: str) -> str:
    """The text with nothing in it that a terminal would obey: escaped, but for tabs, expanded.

    Colours (SGR) of an app's own log are taken out: escaped, they would be all one sees.
    """
    return _UNSAFE.sub(_code_point, _SGR.sub("", text).expandtabs(8))


def joined(records: Iterable[Record]) -> list[Record]:
    """Tracebacks whole: lines of one thread that belong together, though others came between."""
    joiner = Joiner()
    whole = [done for record in records for done in joiner.feed(record)]
    return in_order([*whole, *joiner.flush()])


def in_order(records: Iterable[Record]) -> list[Record]:
    """By time, so that a request comes before what it printed; a line without one stays put."""
    timed: list[tuple[str, Record]] = []
    for record in records:
        timed.append((record.time or (timed[-1][0] if timed else ""), record))
    return [record for _, record in sorted(timed, key=lambda one: one[0])]


def readable(text: str) -> list[str]:
    """An error log as lines for people, without noise; what each process says, once.

    Each of them imports the app for itself, so all log the same failure.
    """
    lines = text.encode("utf-8", "surrogatepass").split(b"\n")
    seen: set[tuple[str, ...]] = set()
    out: list[str] = []
    for record in joined(parse(line) for line in lines if line):
        if isinstance(record, Message) and (len(record.lines) > 1 or not record.app):
            if record.lines in seen:
                continue
            seen.add(record.lines)
        shown = formatted(record)
        if shown:
            out += shown.split("\n")
    return out


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
        begins = _begins(record)
        if who in self._open and (not record.app or len(self._open[who]) > self.LIMIT):
            yield self._close(who)
        if begins or who in self._open:
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

    def _close(self, who: tuple[str, str]) -> Message:
        parts = self._open.pop(who)
        return replace(parts[0], lines=tuple(line for part in parts for line in part.lines))


# -- within ---------------------------------------------------------------------------------

_NUMBER = re.compile(rb"\d{1,18}")
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


def _access(fields: list[str]) -> Access:
    time, client, host, status, size, micros, line = fields
    method, _, rest = line.partition(" ")
    # A target with spaces in it is malformed, but it is what was sent.
    target, gap, protocol = rest.rpartition(" ")
    if not gap or not protocol.startswith("HTTP/"):
        target, protocol = rest, ""
    return Access(time, client, host, method, target, protocol, int(status), int(size), int(micros))


def _message(fields: list[str], cut: bool) -> Message:
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
    return Message(time, module, level, pid, thread, client, (text,), app)


def _begins(message: Message) -> bool:
    return not message.app or message.lines[0].startswith("Traceback (most recent call last)")


def _request(record: Access, color: bool) -> str:
    target = visible(record.target)
    if len(target) > TARGET_SHOWN:
        target = target[:TARGET_SHOWN] + "…"
    code = {2: "32", 3: "36", 4: "33", 5: "31"}.get(record.status // 100, "0")
    status = _painted(str(record.status), code, color)
    head = f"{visible(record.time[11:19])}  {visible(record.method)} {target}"
    return f"{head}  {status}  {_duration(record.micros)}"


def _duration(micros: int) -> str:
    if micros < 1_000_000:
        return f"{micros / 1000:.1f} ms" if micros < 100_000 else f"{micros / 1000:.0f} ms"
    return f"{micros / 1_000_000:.1f} s"


def _painted(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
