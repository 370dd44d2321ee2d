"""Load that notices every loss: kept-alive and closing connections, each answer checked whole.

Run as a program it is the client: it takes one line of JSON (an `Aim`), loads the server, answers
each further line with one line of JSON (a `Tally`), and ends with its input. It uses the standard
library only and one thread, so that it takes little of the machine from whom it measures.

Imported, it has `Load`, which runs that program, and `LOADED`, the app that it asks.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import selectors
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import TracebackType
from typing import Self

FILL = "0123456789abcdef" * 128

LOADED = f"""\
import hashlib
import re

FILL = "{FILL}"


def application(environ, start_response):
    generation = re.search("/generations/([0-9]+)/", environ["SCRIPT_FILENAME"])[1]
    body = environ["wsgi.input"].read()
    said = [generation, environ["REQUEST_METHOD"], environ["PATH_INFO"]]
    said += [hashlib.sha256(body).hexdigest(), FILL]
    text = "\\n".join(said).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]
"""
"""Says which generation it is, what was asked, and a digest of the body that came."""

WAITING = 120.0
"""Seconds after which a request counts as one without an answer."""

SHOWN = 20


@dataclass(frozen=True)
class Aim:
    """Whom to load, and how. Of the kept-alive connections some pause between requests: `pausing`
    of them, up to `pause` seconds."""

    address: str
    port: int
    host: str
    authority: str
    kept: int = 32
    closing: int = 32
    pausing: int = 8
    pause: float = 2.0
    protocol: str = "https"


@dataclass
class Tally:
    """What came of it so far.

    `announced` connections were closed by an answer that said so. `met` counts requests that met
    the close of a kept-alive connection of which no answer had spoken, `idle` such closings seen
    while the client paused: both are repeated or begun on a new connection. `wrong` are all that
    may not be: 5xx, answers cut short, mixed up or from a generation before, no answer at all.
    """

    requests: int = 0
    connections: int = 0
    announced: int = 0
    met: int = 0
    idle: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    generations: dict[str, int] = field(default_factory=dict)
    newest: int = 0
    slowest: float = 0.0

    @property
    def closed(self) -> int:
        return self.met + self.idle


# -- the client ---------------------------------------------------------------------------------

_HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3})[^\r\n]*\r\n(.*?\r\n)?\r\n", re.DOTALL)
_LENGTH = re.compile(rb"^content-length: *([0-9]+)\r$", re.MULTILINE | re.IGNORECASE)
_CLOSE = re.compile(rb"^connection:[^\r]*\bclose\b", re.MULTILINE | re.IGNORECASE)
_AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class Client:
    """The lines, and one loop that serves them all."""

    def __init__(self, aim: Aim) -> None:
        self.aim, self.tally = aim, Tally()
        self.context = ssl.create_default_context(cadata=aim.authority)
        self.selector = selectors.DefaultSelector()
        self.serial = 0
        self.lines = [Line(self, keep=True) for _ in range(aim.kept)]
        self.lines += [Line(self, keep=False) for _ in range(aim.closing)]
        for number, line in enumerate(self.lines[: aim.pausing]):
            line.pause = aim.pause * (number + 1) / aim.pausing
        self.questions = b""

    def run(self) -> None:
        """Until the input ends."""
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        for line in self.lines:
            line.ask()
        looked = time.monotonic()
        while True:
            for key, _ in self.selector.select(0.05):
                if key.data is None:
                    if not self._questioned():
                        return
                else:
                    key.data.ready()
            now = time.monotonic()
            if now > looked + 0.05:
                looked = now
                for line in self.lines:
                    line.tick(now)

    def _questioned(self) -> bool:
        read = os.read(sys.stdin.fileno(), 4096)
        self.questions += read
        while b"\n" in self.questions:
            _, _, self.questions = self.questions.partition(b"\n")
            print(json.dumps(dataclasses.asdict(self.tally)), flush=True)
        return bool(read)

    def request(self, *, keep: bool) -> tuple[bytes, bytes]:
        """The next one, and what must be answered after the generation. Every fifth has a body."""
        self.serial += 1
        body = (f"{self.serial};" * 300).encode() if self.serial % 5 == 0 else b""
        method, path = "POST" if body else "GET", f"/load/{self.serial}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.aim.host}", "User-Agent: load"]
        lines += [f"Content-Length: {len(body)}"] if body else []
        lines += [] if keep else ["Connection: close"]
        whole = "\r\n".join([*lines, "", ""]).encode() + body
        return whole, "\n".join([method, path, sha256(body).hexdigest(), FILL]).encode()

    def wrong(self, kind: str, example: str = "") -> None:
        self.tally.wrong[kind] = self.tally.wrong.get(kind, 0) + 1
        if len(self.tally.examples) < SHOWN:
            self.tally.examples.append(f"{kind}: {example}"[:500])


class Line:
    """One connection after the other: opened, asked, read to the end of each answer."""

    def __init__(self, client: Client, *, keep: bool) -> None:
        self.client, self.keep, self.pause = client, keep, 0.0
        self.socket: socket.socket | None = None
        self.step = "off"
        self.sent = self.expected = self.unsent = b""
        self.answer = bytearray()
        self.began = self.wakes = 0.0
        self.floor = self.answers = self.generation = 0

    def ask(self) -> None:
        """Begin the next request, on a new connection if there is none."""
        self.sent, self.expected = self.client.request(keep=self.keep)
        self.began = time.monotonic()
        self._send()

    def _send(self) -> None:
        self.unsent = self.sent
        self.answer.clear()
        if self.socket is None:
            self._open()
        else:
            self.step = "send"
            self.ready()

    def _open(self) -> None:
        # Whoever connects from now on may not be answered by a generation before this one.
        self.floor, self.answers = self.client.tally.newest, 0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.step = "connect"
        self.client.tally.connections += 1
        aim = self.client.aim
        code = self.socket.connect_ex((aim.address, aim.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))  # Here, not there: no port left, say.
        self.client.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def ready(self) -> None:
        """Go on as far as it goes without waiting."""
        try:
            while self._advance():
                pass
        except _AGAIN as why:
            writes = isinstance(why, ssl.SSLWantWriteError) or self.step == "send"
            self._await(selectors.EVENT_WRITE if writes else selectors.EVENT_READ)
        except OSError as error:
            self._broken(f"{type(error).__name__} {error}")

    def _await(self, events: int) -> None:
        assert self.socket is not None
        if self.client.selector.get_key(self.socket).events != events:
            self.client.selector.modify(self.socket, events, self)

    def _advance(self) -> bool:
        """One step; whether another one follows at once."""
        assert self.socket is not None
        if self.step == "connect":
            self._connected()
        elif self.step == "shake":
            assert isinstance(self.socket, ssl.SSLSocket)
            self.socket.do_handshake()
            self.step = "send"
        elif self.step == "send":
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
            self.step = "send" if self.unsent else "receive"
        else:
            return self._received(self.socket.recv(65536))
        return True

    def _connected(self) -> None:
        assert self.socket is not None
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.step = "send"
        if self.client.aim.protocol == "https":
            self.client.selector.unregister(self.socket)
            self.socket = self.client.context.wrap_socket(
                self.socket, server_hostname=self.client.aim.host, do_handshake_on_connect=False
            )
            self.client.selector.register(self.socket, selectors.EVENT_WRITE, self)
            self.step = "shake"

    def _received(self, data: bytes) -> bool:
        if self.step == "pause" or self.step == "ending":
            return self._received_after(data)
        if not data:
            self._broken("the connection ended")
            return False
        self.answer += data
        head = _HEAD.match(self.answer)
        length = _LENGTH.search(head[2] or b"") if head else None
        if head is None or length is None or len(self.answer) < head.end() + int(length[1]):
            return True
        self._judge(int(head[1]), bytes(self.answer[head.end() :]), int(length[1]))
        closes = _CLOSE.search(head[2] or b"") is not None
        if self.keep and not closes:
            return self._next()
        self.client.tally.announced += self.keep
        if not self.keep and not closes:
            self.client.wrong("kept open against the wish")
        self.step = "ending"  # The server closes first, so this side runs out of no ports.
        self.answer.clear()
        return True

    def _received_after(self, data: bytes) -> bool:
        """What comes when nothing is owed any more: only an end may."""
        if data:
            self.client.wrong("more than the answer", repr(data[:200]))
        pausing = self.step == "pause"
        if data and not pausing:
            return True
        self._close()
        self.client.tally.idle += pausing
        if not pausing:
            self.ask()
        return False

    def _judge(self, status: int, body: bytes, length: int) -> None:
        tally, wrong = self.client.tally, self.client.wrong
        tally.requests += 1
        tally.slowest = max(tally.slowest, time.monotonic() - self.began)
        if status != 200:
            wrong(f"status {status}", repr(body[:200]))
            return
        number, _, rest = body.partition(b"\n")
        if not number.isdigit() or rest != self.expected or len(body) != length:
            wrong("another answer", f"{body[:120]!r}, not {self.expected[:100]!r}")
            return
        generation = int(number)
        tally.generations[str(generation)] = tally.generations.get(str(generation), 0) + 1
        if self.answers and generation != self.generation:
            wrong("two generations", f"{self.generation} and {generation} on one connection")
        if generation < self.floor:
            wrong("a former generation", f"{generation}, though {self.floor} had answered before")
        self.generation = generation
        self.answers += 1
        if self.answers == 1:
            tally.newest = max(tally.newest, generation)

    def _next(self) -> bool:
        if self.pause:
            self.step, self.wakes = "pause", time.monotonic() + self.pause
            return True  # It is listened whether the connection ends meanwhile.
        self.sent, self.expected = self.client.request(keep=self.keep)
        self.began, self.unsent, self.step = time.monotonic(), self.sent, "send"
        self.answer.clear()
        return True

    def _broken(self, how: str) -> None:
        """The connection has ended before its time."""
        step, part, again = self.step, bytes(self.answer), self.answers > 0
        self._close()
        if step == "ending":
            # The answer was whole; a reset instead of an end is no loss, but no good manners.
            self.client.wrong("reset after the answer", how)
        elif step == "pause":
            self.client.tally.idle += 1
            return  # The next tick asks.
        elif part:
            self.client.wrong("cut short", f"{how} after {part[-200:]!r}")
        elif again:
            self.client.tally.met += 1
            self._send()  # Not lost: nobody has begun to answer it, so it is asked once more.
            return
        else:
            self.client.wrong(f"no answer ({step})", how)
        self.ask()

    def tick(self, now: float) -> None:
        if self.step == "pause" and now > self.wakes:
            self.ask()
        elif self.step != "pause" and now > self.began + WAITING:
            self.client.wrong(f"no answer in time ({self.step})", repr(self.sent[:80]))
            self._close()
            self.ask()

    def _close(self) -> None:
        if self.socket is not None:
            self.client.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None


# -- in the test --------------------------------------------------------------------------------


class Load:
    """The client, running. A context manager: at its end the program has ended."""

    def __init__(self, aim: Aim) -> None:
        self.aim = aim
        self._program: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tell(json.dumps(dataclasses.asdict(self.aim)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        assert self._program is not None
        with self._program as program:
            program.kill()

    def tally(self) -> Tally:
        """How it stands."""
        self._tell("?")
        assert self._program is not None
        assert self._program.stdout is not None
        said: Mapping[str, object] = json.loads(self._program.stdout.readline() or "null") or {}
        assert said, f"the client has ended with {self._program.wait(60)}"
        return Tally(**said)  # type: ignore[arg-type]

    def until(self, requests: int, seconds: float = 900) -> Tally:
        """Go on until so many were answered. The limit only ends what will never be."""
        end = time.monotonic() + seconds
        while (tally := self.tally()).requests < requests:
            assert time.monotonic() < end, f"only {tally} in {seconds:.0f} s"
            assert sum(tally.wrong.values()) < 1000, tally
            time.sleep(0.1)
        return tally

    def _tell(self, line: str) -> None:
        assert self._program is not None
        assert self._program.stdin is not None
        self._program.stdin.write(line + "\n")
        self._program.stdin.flush()


def main() -> None:
    first = b""
    while not first.endswith(b"\n"):
        first += os.read(sys.stdin.fileno(), 1)
    Client(Aim(**json.loads(first))).run()


if __name__ == "__main__":
    main()
