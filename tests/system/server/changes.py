"""A site that is changed in one way after the other, and requests that last over such a switch.

Each change is one `hostel apply`, or what does the same, of the site `hello`.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ..machines import DebianMachine
from .load import LOADED, Aim
from .sites import ask, site_file

HOST = "hello.example.com"
FOLDER = "/root/hello"
HELD = ("slow", "poll", "held", "http2")
"""Names of requests that are held in the app."""
DATA = "/srv/hostel/hello/data"
PYTHONS = Path.home() / ".pyenv" / "versions"

APP = (
    LOADED
    + '''

import importlib
import json
import os
import sys
import time

MARK = "@MARK@"
loaded = application


def application(environ, start_response):
    """What is not asked here is a matter of the load."""
    _, kind, *rest = environ["PATH_INFO"].split("/")
    if kind not in ("facts", "hold", "stream", "upload"):
        return loaded(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return globals()[kind](environ, *rest)


def generation_of(environ):
    return int(re.search("/generations/([0-9]+)/", environ["SCRIPT_FILENAME"])[1])


def facts(environ):
    kept = os.environ.get("KEPT", "0")
    said = {"generation": generation_of(environ), "code": int(MARK), "kept": int(kept)}
    said |= {"said": int(os.environ["SAID"]), "python": "%d.%d" % sys.version_info[:2]}
    yield json.dumps(said).encode()


def begun(name):
    open(os.path.join(os.environ["DATA_DIR"], name + ".begun"), "w").close()


def may_end(name):
    return os.path.exists(os.path.join(os.environ["DATA_DIR"], name + ".end"))


def hold(environ, name, least="0"):
    """Answer when the file is there, after so many seconds at least; then import for the first
    time what lies in the release."""
    end = time.monotonic() + float(least)
    begun(name)
    while time.monotonic() < end or not may_end(name):
        time.sleep(0.05)
    late = importlib.import_module("late_" + name)
    return [json.dumps({"generation": generation_of(environ), "late": late.WORD}).encode()]


def stream(environ, name):
    number = 0
    while not may_end(name):
        yield b"%d\\n" % number
        number += 1
        begun(name)
        time.sleep(0.1)
    yield b"%d\\nend of %d\\n" % (number, generation_of(environ))


def upload(environ, name):
    digest, size = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(1024):
        digest.update(piece)
        size += len(piece)
        begun(name)
    said = {"generation": generation_of(environ), "size": size, "digest": digest.hexdigest()}
    return [json.dumps(said).encode()]
'''
)


@dataclass
class Changes:
    """The site as it was written last; each method changes one thing and makes it live."""

    server: DebianMachine
    code: int = 0
    said: int = 0
    kept: int = 0
    domains: int = 0
    processes: int = 4
    python: str = "3.11"
    pythons: list[str] = field(default_factory=lambda: ["3.11"])

    def apply(self) -> None:
        more = f"[server]\nprocesses = {self.processes}\nrequest_timeout = 900\n"
        more += f'[env]\nSAID = "{self.said}"\n'
        names = [HOST, *(f"www{number}.example.com" for number in range(1, self.domains + 1))]
        text = site_file("hello").replace(f'["{HOST}"]', json.dumps(names))
        self.server.write(f"{FOLDER}/app.py", APP.replace("@MARK@", str(self.code)))
        for name in HELD:
            self.server.write(f"{FOLDER}/late_{name}.py", f'WORD = "code {self.code}"\n')
        self.server.write(f"{FOLDER}/hostel.toml", f'{text}python = "{self.python}"\n{more}')
        self.server.run(["hostel", "apply", FOLDER], check=True, timeout=1200)

    def new_code(self) -> None:
        self.code += 1
        self.apply()

    def new_variable(self) -> None:
        self.said += 1
        self.apply()

    def kept_variable(self) -> None:
        self.kept += 1
        argv = ["hostel", "env", "set", "KEPT", "--site", "hello"]
        self.server.run(argv, stdin=str(self.kept), check=True, timeout=1200)

    def new_certificate(self) -> None:
        self.domains += 1
        self.apply()

    def other_processes(self) -> None:
        self.processes = 7 - self.processes
        self.apply()

    def other_python(self) -> None:
        self.python = next(one for one in self.pythons if one != self.python)
        self.apply()

    def is_live(self) -> int:
        """That everything is as it was changed; returns which generation says so."""
        host = f"www{self.domains}.example.com" if self.domains else HOST
        facts: dict[str, object] = json.loads(ask(self.server, host, "/facts").body)
        generation = facts.pop("generation")
        assert isinstance(generation, int)
        assert facts == {
            "code": self.code,
            "said": self.said,
            "kept": self.kept,
            "python": self.python,
        }
        return generation

    def aim(self) -> Aim:
        authority = self.server.read("/var/lib/hostel/ca/ca.crt")
        return Aim(self.server.address, 443, HOST, authority)

    def listens(self, generation: int) -> bool:
        """Whether that generation's instance takes new connections."""
        conf = self.server.read(f"/srv/hostel/hello/generations/{generation}/httpd.conf")
        ports = re.findall(r"^Listen .*:([0-9]+)$", conf, re.MULTILINE)
        assert ports
        return any(
            self.server.run(["ss", "-Hltn", f"sport = :{port}"], check=True).stdout
            for port in ports
        )

    def has_ended(self, generation: int) -> bool:
        unit = f"hostel-instance@hello-{generation}.service"
        return self.server.show(unit, "ActiveState") in ("inactive", "failed")

    def let_end(self, *names: str) -> None:
        """Let requests in flight come to their end."""
        for name in names:
            self.server.write(f"{DATA}/{name}.end", "")


def add_python(server: DebianMachine) -> str:
    """Put another CPython of the host below /opt/python; its version as a site says it, "" where
    the host has none that would do."""
    for prefix in sorted(PYTHONS.glob("3.1[2-4].*"), reverse=True):
        minor = ".".join(prefix.name.split(".")[:2])
        place = f"/opt/python/{prefix.name}"
        complete = [f"lib/libpython{minor}.so.1.0", f"include/python{minor}/Python.h"]
        if not all((prefix / part).is_file() for part in complete):
            continue
        for part in ("bin", "include", "lib"):
            server.put(prefix / part, f"{place}/{part}")
        # It was made for another place, which its own notes still name.
        notes = server.run(
            ["find", f"{place}/lib/python{minor}", "-name", "_sysconfigdata*.py"], check=True
        )
        moved = ["sed", "-i", f"s|{prefix}|{place}|g", *notes.stdout.split()]
        server.run(moved, check=True)
        server.write("/etc/ld.so.conf.d/python.conf", f"{place}/lib\n")
        server.run(["ldconfig"], check=True)
        server.run([f"{place}/bin/python{minor}", "-c", "import ssl"], check=True)
        return minor
    return ""


# -- in flight ----------------------------------------------------------------------------------


class Flight(threading.Thread):
    """A request that lasts, over HTTP/1.1 on a connection that may be kept alive."""

    def __init__(self, changes: Changes, method: str, path: str, body: Body | None = None) -> None:
        super().__init__(daemon=True)
        self.server, self.method, self.path, self.body = changes.server, method, path, body
        self.authority = changes.aim().authority
        self.name = path.split("/")[2]
        self.status, self.closes, self.answer = 0, False, b""
        self.error: Exception | None = None

    def begin(self) -> None:
        """Start, and wait until the app is at it."""
        self.start()
        mark = f"{DATA}/{self.name}.begun"
        eventually(lambda: self.error is not None or self.server.exists(mark), f"{mark} is there")

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    def _run(self) -> None:
        context = ssl.create_default_context(cadata=self.authority)
        with (
            socket.create_connection((self.server.address, 443), 900) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            connection = http.client.HTTPConnection(HOST)
            connection.sock = secure
            body, headers = self.body, {}
            if body is not None:
                size = str(len(body.whole))
                headers = (
                    {"Transfer-Encoding": "chunked"} if body.chunked else {"Content-Length": size}
                )
            connection.request(
                self.method,
                self.path,
                None if body is None else iter(body),
                headers,
                encode_chunked=body is not None and body.chunked,
            )
            response = connection.getresponse()
            self.status = response.status
            said = response.getheader("Connection", "").lower().split(", ")
            self.answer = response.read()
            self.closes = "close" in said

    def end(self) -> bytes:
        """The whole answer of a request that ended normally."""
        self.join(600)
        assert not self.is_alive(), f"{self.path} does not end"
        assert self.error is None, f"{self.path}: {self.error!r}"
        assert self.status == 200
        return self.answer


class Body:
    """What is uploaded: a piece now and then until it is `hurried`, then all the rest at once."""

    def __init__(self, *, chunked: bool) -> None:
        self.chunked = chunked
        self.pieces = [(f"{number:4};" * 200).encode() for number in range(2000)]
        self.whole = b"".join(self.pieces)
        self.hurried = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.hurried.wait(0.25)
            yield piece

    @property
    def facts(self) -> dict[str, object]:
        return {"size": len(self.whole), "digest": sha256(self.whole).hexdigest()}


def eventually(so: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Wait until it is so. The limit only ends what will never be."""
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end, f"it never happens: {what}"
        time.sleep(0.1)


def numbered(answer: bytes) -> tuple[list[int], str]:
    """The lines of a streamed answer: its numbers, and what stands at the end."""
    *lines, last = answer.decode().splitlines()
    assert all(re.fullmatch("[0-9]+", line) for line in lines)
    return [int(line) for line in lines], last
