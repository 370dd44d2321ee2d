"""What the tests of crashes use: runs that end where a test says, and a visitor who notices."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..machines import DebianMachine

PYTHON = "/opt/hostel/venv/bin/python"
KILLER = Path(__file__).with_name("killer.py")
KILLED = -signal.SIGKILL
MOST_POINTS = 500


@dataclass(frozen=True)
class Ran:
    """One run. `points` are those it passed, `snapshot` what there was when it had mended what an
    earlier one left, if it was asked for."""

    code: int
    out: str
    err: str
    points: list[str]
    snapshot: Mapping[str, str] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        return self.code == KILLED

    @property
    def last(self) -> str:
        return self.points[-1] if self.points else "no point"


class Runs:
    """Runs of `hostel` on a machine, each with the options that `killer.py` knows. A context."""

    def __init__(self, server: DebianMachine) -> None:
        self.server = server

    def __enter__(self) -> Self:
        self.server.write("/root/killer.py", KILLER.read_bytes())
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = self.server.popen([PYTHON, "-B", "/root/killer.py"], **pipes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __call__(self, *argv: str, **how: Any) -> Ran:
        return Ran(**self._answer({"argv": argv, **how}))

    def snapshot(self) -> dict[str, str]:
        """All that Hostel could have made on the machine, with its owner, mode and content."""
        found: dict[str, str] = self._answer({"say": "snapshot"})
        return found

    def troubles(self) -> list[str]:
        """What should not be there: all sites at rest, this is empty."""
        found: list[str] = self._answer({"say": "troubles"})
        return found

    def settled(self) -> None:
        """Fail unless nothing half-done is left. A drain may last for a moment."""
        end = time.monotonic() + 120
        while (found := self.troubles()) and time.monotonic() < end:
            time.sleep(0.1)
        assert not found, "\n".join(found)

    def finished(self, folder: str) -> None:
        """Fail unless the site is as its project says, and nothing half-done is left."""
        planned = self("plan", folder, "--exit-code")
        assert planned.code == 0, planned.out
        self.settled()

    def _answer(self, wanted: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"killer.py has ended: {self._process.wait()}"
        return json.loads(line)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What differs between two snapshots, for a test to be empty and a person to read."""
    names = sorted({*before, *after})
    sides = {name: (before.get(name, "-"), after.get(name, "-")) for name in names}
    return {name: pair for name, pair in sides.items() if pair[0] != pair[1]}


class Visitor:
    """Asks a site all the time, each time anew, and allows no failure. A context."""

    def __init__(self, server: DebianMachine, host: str) -> None:
        self.address, self.host = server.address, host
        self.context = ssl.create_default_context(cadata=server.read("/var/lib/hostel/ca/ca.crt"))
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def check(self, *allowed: str) -> None:
        """Fail unless every answer since the last time was one of these, if any are named, and
        there was one."""
        self._wait_for_one()
        answers, self.answers = self.answers, {}
        assert not self.failures, self.failures[:5]
        assert not allowed or {*answers} <= {*allowed}, answers

    def _wait_for_one(self) -> None:
        """At least one that was asked from now on."""
        seen = sum(self.answers.values())
        end = time.monotonic() + 120
        while sum(self.answers.values()) < seen + 2 and not self.failures:
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.005)

    def _visit(self) -> None:
        while not self._end.wait(0.01):
            try:
                answer = self._ask()
                self.answers[answer] = self.answers.get(answer, 0) + 1
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _ask(self) -> str:
        with (
            socket.create_connection((self.address, 443), 120) as plain,
            self.context.wrap_socket(plain, server_hostname=self.host) as secure,
        ):
            connection = http.client.HTTPConnection(self.host)
            connection.sock = secure
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                raise AssertionError(f"{response.status}: {body[:200]}")
            return body
