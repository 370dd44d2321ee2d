"""The drain, run as a unit's ExecStop runs it, with a server of its own in httpd's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.boot import drain

if sys.platform != "linux":
    pytest.skip("units are Linux's", allow_module_level=True)

NEVER = 600
"""Seconds: a limit that no test may come to."""

SERVER = """
import os, select, signal, socket, sys
ending, woken = os.pipe()
os.set_blocking(woken, False)
signal.set_wakeup_fd(woken)
asked = []
signal.signal(signal.SIGWINCH, lambda *_: asked.append(True))
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
held = []
while not asked or (held and sys.argv[1] == "waits"):
    for ready in select.select([server, ending, *held], [], [])[0]:
        if ready is server:
            held.append(server.accept()[0])
        elif ready == ending:
            os.read(ending, 99)
        elif not ready.recv(99):
            held.remove(ready)
            ready.close()
print("ended for SIGWINCH" if asked else "ended", flush=True)
"""
"""Ends at SIGWINCH; one that `waits` does so once its connections are closed, as httpd does."""


class Server:
    """A process that can be drained, and the drain of it."""

    def __init__(self, folder: Path, how: str) -> None:
        self.flag = folder / "drain"
        argv = [sys.executable, "-c", SERVER, how]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.port = int(self.out.readline())
        self.drains: list[subprocess.Popen[bytes]] = []

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def drain(self, idle: float = NEVER, grace: float = NEVER) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-I", "-S", drain.__file__, self.flag, idle, grace, self.port]
        env = {"MAINPID": str(self.process.pid)}
        self.drains.append(subprocess.Popen([str(word) for word in argv], env=env))
        return self.drains[-1]

    def end(self) -> None:
        for process in (*self.drains, self.process):
            process.kill()
            process.wait()
        self.out.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    servers: list[Server] = []

    def start(how: str) -> Server:
        servers.append(Server(tmp_path, how))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def eventually(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_without_connections_is_ended_at_once(served: Callable[[str], Server]) -> None:
    server = served("waits")
    assert server.drain().wait(60) == 0
    assert server.out.readline() == "ended for SIGWINCH\n"
    assert server.flag.exists()


def test_an_open_connection_is_waited_for_before_the_end(served: Callable[[str], Server]) -> None:
    server = served("ends")
    with server.connect():
        drain = server.drain()
        eventually(server.flag.exists)
        time.sleep(1)  # time in which it could wrongly go on
        assert server.process.poll() is None
    assert drain.wait(60) == 0
    assert server.out.readline() == "ended for SIGWINCH\n"


def test_a_connection_that_stays_open_is_not_waited_for_beyond_the_limit(
    served: Callable[[str], Server],
) -> None:
    server = served("ends")
    with server.connect():
        assert server.drain(idle=0.5).wait(60) == 0
    assert server.out.readline() == "ended for SIGWINCH\n"


def test_requests_in_flight_are_waited_for_after_the_signal(
    served: Callable[[str], Server],
) -> None:
    server = served("waits")
    with server.connect():
        drain = server.drain(idle=0)
        time.sleep(1)
        assert drain.poll() is None
    assert drain.wait(60) == 0
    assert server.process.wait(60) == 0


def test_a_request_that_never_ends_is_left_to_systemd(served: Callable[[str], Server]) -> None:
    server = served("waits")
    with server.connect():
        assert server.drain(idle=0, grace=0.5).wait(60) == 0
        assert server.process.poll() is None


def test_a_server_that_has_ended_already_needs_nothing(served: Callable[[str], Server]) -> None:
    server = served("ends")
    os.kill(server.process.pid, signal.SIGWINCH)
    server.process.wait(60)
    assert server.drain().wait(60) == 0
    assert not server.flag.exists()


@pytest.mark.parametrize("pid", ["", "0", "nobody"])
def test_without_a_main_process_nobody_is_signalled(tmp_path: Path, pid: str) -> None:
    argv = [sys.executable, "-I", "-S", drain.__file__, str(tmp_path / "drain"), "1", "1", "80"]
    assert subprocess.run(argv, env={"MAINPID": pid}, check=False).returncode == 0
    assert not (tmp_path / "drain").exists()


def test_only_open_connections_to_these_ports_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert drain.connections(frozenset([port])) == 0
        client = socket.create_connection(("127.0.0.1", port))
        peer, _ = server.accept()
        assert drain.connections(frozenset([port])) == 1
        assert drain.connections(frozenset([1])) == 0
        peer.close()
        client.close()
        eventually(lambda: drain.connections(frozenset([port])) == 0)


def test_connections_over_ipv6_count_too() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with server:
        port = server.getsockname()[1]
        with socket.create_connection(("::1", port)):
            assert drain.connections(frozenset([port])) == 1
