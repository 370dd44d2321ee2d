"""The log formats as a real httpd writes them, and hostile requests through it to the screen."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.httpd import line, render
from hostel.logs import ACCESS_LOG_FORMAT, ERROR_LOG_FORMAT, Access, Message, formatted, parse
from hostel.ports import free_port

HTTPD = shutil.which("apache2", path="/usr/sbin") or shutil.which("httpd")
MODULES = next(
    (
        folder
        for folder in (Path("/usr/lib/apache2/modules"), Path("/usr/lib64/httpd/modules"))
        if folder.is_dir()
    ),
    None,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(HTTPD is None or MODULES is None, reason="needs httpd"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that httpd's children, which are not root, may write to."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    assert MODULES is not None
    number = free_port()
    modules = ["mpm_event", "authz_core"]
    conf = folder / "httpd.conf"
    conf.write_text(
        render(
            [
                *(
                    line("LoadModule", f"{one}_module", MODULES / f"mod_{one}.so")
                    for one in modules
                ),
                line("ServerRoot", folder),
                line("DefaultRuntimeDir", folder),
                line("PidFile", folder / "pid"),
                line("ServerName", "localhost"),
                line("Listen", f"127.0.0.1:{number}"),
                line("User", "nobody"),
                line("Group", "#65534"),
                line("LogLevel", "info"),
                line("ErrorLog", folder / "error.log"),
                line("ErrorLogFormat", ERROR_LOG_FORMAT),
                line("LogFormat", ACCESS_LOG_FORMAT, "hostel"),
                line("CustomLog", folder / "access.log", "hostel"),
            ]
        )
    )
    with subprocess.Popen([str(HTTPD), "-f", str(conf), "-DFOREGROUND"]) as httpd:
        try:
            _until_it_answers(number, httpd)
            yield number
        finally:
            httpd.send_signal(signal.SIGTERM)


def _until_it_answers(port: int, httpd: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while httpd.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.02)
    raise AssertionError("httpd did not start")


def send(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def logged(log: Path, count: int) -> list[Access | Message]:
    """The last `count` records, once there are so many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = log.read_bytes().splitlines() if log.exists() else []
        if len(lines) >= count:
            return [parse(line) for line in lines[-count:]]
        time.sleep(0.02)
    raise AssertionError(f"{log.name} did not get {count} lines")


def test_a_request_is_read_back_as_it_was_sent(port: int, folder: Path) -> None:
    send(port, b'GET /a%2Fb//c?q="\\&d=\xc3\xa9 HTTP/1.1\r\nHost: Site.example:1\r\n'
               b"Connection: close\r\n\r\n")  # fmt: skip
    (record,) = logged(folder / "access.log", 1)
    assert isinstance(record, Access)
    assert (record.method, record.target) == ("GET", '/a%2Fb//c?q="\\&d=é')
    assert (record.host, record.client) == ("Site.example:1", "127.0.0.1")
    assert record.status in (400, 403, 404)
    assert record.size > 0
    assert len(record.time) == len("2026-01-02 03:04:05.678901 +0000")
    assert abs(record.at - time.time()) < 600


HOSTILE = (
    b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\x9b31m\xe2\x80\xae HTTP/1.0\r\n\r\n",
    b"GET /\t\x0b HTTP/1.1\r\nHost: a\x1b]0;t\x07\r\n\r\n",
    b"\x1b]0;title\x07 / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    b"GARBAGE\r\n\r\n",
    b"GET /%1b%5b31m%0a HTTP/1.0\r\n\r\n",
    b"GET /../.. HTTP/1.0\r\n\r\n",
)


def test_hostile_requests_are_one_harmless_line_each(port: int, folder: Path) -> None:
    for request in HOSTILE:
        send(port, request)
    records = logged(folder / "access.log", len(HOSTILE))
    assert all(isinstance(record, Access) for record in records)
    for record in records:
        assert formatted(record).isprintable()
    # What httpd itself says of them, too.
    for log_line in (folder / "error.log").read_bytes().splitlines():
        record = parse(log_line)
        assert isinstance(record, Message)
        assert record.module
        assert formatted(record, noise=True).isprintable()


def test_messages_of_httpd_are_taken_apart(port: int, folder: Path) -> None:
    send(port, b"GET /../.. HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = (folder / "error.log").read_bytes().splitlines()
        found = [parse(one) for one in lines if b"AH10244" in one]
        if found:
            break
        time.sleep(0.02)
    (record,) = found
    assert isinstance(record, Message)
    assert (record.module, record.level, record.app) == ("core", "error", False)
    assert record.client.startswith("127.0.0.1:")
    assert record.pid.isdigit()
    assert record.thread.isdigit()
    starting = parse(next(one for one in lines if b"AH00489" in one))
    assert isinstance(starting, Message)
    assert starting.noise
    assert starting.client == "-"
