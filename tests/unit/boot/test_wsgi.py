"""What httpd's process tells systemd about the app: run as mod_wsgi runs it, with a real socket."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hostel.boot import load, wsgi
from hostel.boot_files import BESIDE, texts

HELLO = "def application(environ, start_response):\n    return []\n"
ENDED_BY_CHILD = 77

HTTPD = f"""
import signal, subprocess, sys
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
code = subprocess.call(sys.argv[1:])
sys.exit({ENDED_BY_CHILD} if asked else code)
"""
"""In httpd's place: the parent of the process that loads the app."""

AS_MOD_WSGI = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='_mod_wsgi_test')"


@dataclass
class Unit:
    """A unit's surroundings: a folder, a socket that hears what systemd would."""

    folder: Path
    address: str
    socket: socket.socket
    env: dict[str, str] = field(default_factory=dict)

    def load(self, app: str, *, told: bool = True) -> subprocess.CompletedProcess[str]:
        """Load an app of this text as a process of httpd does."""
        code = self.folder / "code"
        code.mkdir(exist_ok=True)
        (code / "app.py").write_text(app)
        for name, text in texts(BESIDE).items():
            (self.folder / name).write_bytes(text)
        boot = {"app": "app:application", "cwd": str(code), "path": [str(code)], "argv": ["app"]}
        (self.folder / "boot.json").write_text(json.dumps(boot | {"env": self.env}))
        systemds = {"NOTIFY_SOCKET": self.address, "RUNTIME_DIRECTORY": str(self.folder)}
        argv = [sys.executable, "-B", "-c", AS_MOD_WSGI, str(self.folder / "wsgi.py")]
        return subprocess.run(
            [sys.executable, "-c", HTTPD, *argv],
            env={**(systemds if told else {}), "INVOCATION_ID": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def heard(self) -> list[str]:
        """All that was said since the last time."""
        messages: list[str] = []
        while True:
            try:
                messages.append(self.socket.recv(9999).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["a path", "an abstract name"])
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Unit]:
    path = str(tmp_path / "notify")
    if request.param == "an abstract name":
        if sys.platform != "linux":
            pytest.skip("only Linux has abstract names")
        path = f"@hostel-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
        channel.setblocking(False)
        yield Unit(tmp_path, path, channel)


def test_a_unit_is_ready_once_the_app_is_loaded(unit: Unit) -> None:
    ran = unit.load(HELLO)
    assert ran.returncode == 0, ran.stderr
    [message] = unit.heard()
    assert "READY=1" in message.splitlines()


def test_nothing_is_told_before_the_app_is_loaded(unit: Unit) -> None:
    ran = unit.load(
        f"import os\nassert not os.path.exists({str(unit.folder / 'ready')!r})\n{HELLO}"
    )
    assert ran.returncode == 0, ran.stderr


def test_the_app_cannot_see_what_is_between_systemd_and_hostel(unit: Unit) -> None:
    unit.env = {"A": "1"}
    ran = unit.load(f"import os\nassert dict(os.environ) == {{'A': '1'}}, os.environ\n{HELLO}")
    assert ran.returncode == 0, ran.stderr


def test_modules_of_the_app_may_be_called_as_hostels_own_files(unit: Unit) -> None:
    (unit.folder / "code").mkdir()
    for name in ("load", "faithful"):
        (unit.folder / "code" / f"{name}.py").write_text("MINE = True\n")
    ran = unit.load(f"import load, faithful\nassert load.MINE and faithful.MINE\n{HELLO}")
    assert ran.returncode == 0, ran.stderr


def test_an_app_that_fails_says_why_and_ends_the_start(unit: Unit) -> None:
    ran = unit.load("raise RuntimeError('no database\\nat all')")
    assert ran.returncode == ENDED_BY_CHILD
    assert unit.heard() == ["STATUS=RuntimeError: no database at all"]
    assert "raise RuntimeError" in ran.stderr, "the traceback was not written before the end"


def test_a_reason_is_one_short_line_without_secrets(unit: Unit) -> None:
    unit.env = {"SECRET_KEY": "hunter2hunter2", "HOME": "/srv/home"}
    unit.load(
        "import os\nraise KeyError(os.environ['SECRET_KEY'] + os.environ['HOME'] + 'x' * 999)"
    )
    [message] = unit.heard()
    assert message.startswith("STATUS=KeyError: '***/srv/homexxx")
    assert len(message) <= len("STATUS=") + 200


def test_an_exit_in_the_import_is_told_as_well(unit: Unit) -> None:
    assert unit.load("raise SystemExit(3)").returncode == ENDED_BY_CHILD
    assert unit.heard() == ["STATUS=SystemExit: 3"]


def test_a_missing_callable_is_told_in_hostels_words(unit: Unit) -> None:
    unit.load("")
    [message] = unit.heard()
    assert message.startswith("STATUS=app (")
    assert message.endswith('has no "application"')


def test_a_unit_that_was_ready_is_not_ended_by_a_later_process(unit: Unit) -> None:
    """One that httpd makes anew may fail for a passing reason, while others serve."""
    unit.load(HELLO)
    ran = unit.load("raise RuntimeError('later')")
    assert ran.returncode not in (0, ENDED_BY_CHILD)
    assert unit.heard()[1:] == ["STATUS=RuntimeError: later"]


def test_processes_that_are_killed_in_their_import_end_the_start(unit: Unit) -> None:
    killed = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    for _ in range(wsgi.MOST_KILLED):
        unit.load(killed)
        assert unit.heard() == []
    assert unit.load(killed).returncode == ENDED_BY_CHILD
    [message] = unit.heard()
    assert message.startswith(f"STATUS={wsgi.MOST_KILLED} processes were killed")


def test_without_a_unit_nothing_is_told_and_nothing_ended(unit: Unit) -> None:
    assert unit.load(HELLO, told=False).returncode == 0
    ran = unit.load("raise RuntimeError('bad')", told=False)
    assert ran.returncode not in (0, ENDED_BY_CHILD)
    assert unit.heard() == []
    assert not [path for path in unit.folder.iterdir() if path.name[:5] in ("ready", "loadi")]


def test_a_socket_that_is_gone_keeps_no_app_from_serving(unit: Unit) -> None:
    unit.address = str(unit.folder / "gone")
    ran = unit.load(HELLO)
    assert ran.returncode == 0
    assert "could not be told" in ran.stderr


def test_what_loads_an_app_keeps_little_in_the_memory_of_its_process(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("application = object()\n")
    code = "import load, sys; load.load('app.py', sys.argv[1]); print(*sys.modules)"
    argv = [sys.executable, "-S", "-c", code, str(tmp_path)]
    folder = Path(load.__file__).parent
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=folder)
    assert {"app", "load"} <= {*ran.stdout.split()}
    assert {"pathlib", "re", "inspect", "typing"} & {*ran.stdout.split()} == set()
