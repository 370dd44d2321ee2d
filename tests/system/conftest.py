"""Real sites for the system tests: an installed Hostel, people who run it, and their requests.

Everything made here is ended and removed again, whatever a test does: sites are taken down,
stray processes ended by pid, the test's account deleted.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ACCOUNT = f"hostel-t{os.getpid()}"


def cannot(why: str) -> None:
    """A missing part of the machine: a failure where tests must run, a skip on a laptop."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@dataclass(frozen=True)
class Person:
    """Somebody who runs Hostel: root, or the test's own ordinary user. Home is theirs alone."""

    name: str
    uid: int
    gid: int
    home: Path
    hostel: Path

    def env(self, **more: str) -> dict[str, str]:
        keep = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "UV_", "SSL_CERT", "HTTP", "http"))
        }
        return {
            **keep,
            "HOME": str(self.home),
            "USER": self.name,
            "LANG": "C",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "UV_CACHE_DIR": str(self.home / "uv-cache"),
            "SECRET_OF_CALLER": "leak",
            **more,
        }

    def run(
        self, *argv: object, cwd: Path | None = None, timeout: float = 240, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in argv],
            cwd=cwd or self.home,
            env=self.env(**env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **self._as(),
        )

    def start(self, *argv: object, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd or self.home,
            env=self.env(**env),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._as(),
        )

    def owns(self, path: Path) -> None:
        for folder, folders, files in os.walk(path):
            for name in [".", *folders, *files]:
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)

    def _as(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Hosted:
    """A project of a person, and how to talk to its site."""

    person: Person
    root: Path
    state: Path
    http: int
    https: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def up(self, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.hostel(
            "up",
            self.root,
            "--http",
            self.http,
            "--https",
            self.https,
            "--dir",
            self.state,
            "--detach",
            *more,
            **env,
        )

    def attached(self, *more: str, **env: str) -> subprocess.Popen[str]:
        process = self.person.start(
            self.person.hostel,
            "up",
            self.root,
            "--http",
            self.http,
            "--https",
            self.https,
            "--dir",
            self.state,
            *more,
            PYTHONUNBUFFERED="1",
            **env,
        )
        self.processes.append(process)
        return process

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.hostel("down", self.root, "--dir", self.state)

    def status(self) -> dict[str, Any]:
        done = self.hostel("status", self.root, "--dir", self.state, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["sites"][0]

    def hostel(self, *argv: object, **env: str) -> subprocess.CompletedProcess[str]:
        return self.person.run(self.person.hostel, *argv, **env)

    def authority(self) -> str:
        return self.hostel("cert", "path").stdout.strip()

    def get(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        host: str = "localhost",
    ) -> Answer:
        context = ssl.create_default_context(cadata=self.ca_text())
        connection = _Tls(host, self.https, context)
        return _ask(connection, method, path, body, headers)

    def get_plain(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return _ask(
            http.client.HTTPConnection("127.0.0.1", self.http, timeout=30),
            "GET",
            path,
            None,
            headers,
        )

    def ca_text(self) -> str:
        return Path(self.authority()).read_text()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.person.owns(self.root)

    def strays(self) -> list[psutil.Process]:
        """Processes that still mention the state folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and any(
                    str(self.state) in part for part in process.cmdline()
                ):
                    found.append(process)
        return found

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            if process.poll() is None:
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.down()
        for process in self.strays():
            with contextlib.suppress(psutil.Error):
                process.kill()


class _Tls(http.client.HTTPSConnection):
    """TLS to loopback whatever the name says, verified for that name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context, timeout=60)
        self.context = context

    def connect(self) -> None:
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        self.sock = self.context.wrap_socket(raw, server_hostname=self.host)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str] | None,
) -> Answer:
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def eventually(condition: Any, patience: float = 60) -> Any:
    """Wait for something to become true; how long it takes is nobody's business."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            value = condition()
            if value:
                return value
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """A folder with Hostel installed from its wheel, as people get it, readable to everybody."""
    if not shutil.which("apxs") or not Path("/usr/bin/python3").exists():
        cannot("needs apache2-dev: script/packages --tests installs it")
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-", dir="/tmp"))
    folder.chmod(0o755)
    uv = Path(sys.prefix) / "bin" / "uv"
    try:
        for command in (
            [uv, "build", "--quiet", "--wheel", "--out-dir", folder / "dist", ROOT],
            [uv, "venv", "--quiet", "--python", "/usr/bin/python3", folder / "venv"],
            [
                uv,
                "pip",
                "sync",
                "--quiet",
                "--python",
                folder / "venv",
                "--link-mode",
                "copy",
                "--require-hashes",
                ROOT / "requirements.lock",
            ],
        ):
            subprocess.run(command, check=True)
        wheel = next((folder / "dist").glob("*.whl"))
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--no-deps", "--python", folder / "venv", wheel],
            check=True,
        )
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def account() -> Iterator[pwd.struct_passwd]:
    """The ordinary user: made for the tests, with all it owns removed after them."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid())
        return
    with contextlib.suppress(KeyError):
        pwd.getpwnam(ACCOUNT)
        subprocess.run(["userdel", "--remove", ACCOUNT], check=False, capture_output=True)
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", ACCOUNT], check=True)
    try:
        entry = pwd.getpwnam(ACCOUNT)
        Path(entry.pw_dir).chmod(0o700)
        yield entry
    finally:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == entry.pw_uid:
                    process.kill()
        subprocess.run(["userdel", "--remove", ACCOUNT], check=False, capture_output=True)


@pytest.fixture(scope="session")
def user(installed: Path, account: pwd.struct_passwd) -> Person:
    home = Path(account.pw_dir)
    return Person(
        account.pw_name, account.pw_uid, account.pw_gid, home, installed / "venv" / "bin" / "hostel"
    )


@pytest.fixture(scope="session")
def root(installed: Path) -> Iterator[Person]:
    """root, with a home of its own that is closed to others, as /root is."""
    if os.geteuid() != 0:
        cannot("needs root")
    home = Path(tempfile.mkdtemp(prefix="hostel-root-home-"))
    yield Person("root", 0, 0, home, installed / "venv" / "bin" / "hostel")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["user", "root"])
def person(request: pytest.FixtureRequest) -> Person:
    """Both people, one after the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Person)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def place(person: Person, source: Path | None, name: str = "site") -> Hosted:
    """A project folder of this person's, copied from an example or empty."""
    folder = Path(tempfile.mkdtemp(prefix="project-", dir=person.home)) / name
    if source is None:
        folder.mkdir()
    else:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".hostel", "__pycache__"))
    person.owns(folder.parent)
    state = folder / ".hostel"
    if person.uid == 0:  # /root is closed to the runner; a given state must not be
        state = Path(tempfile.mkdtemp(prefix="hostel-state-", dir="/tmp"))
        state.chmod(0o755)
        state = state / "state"
    return Hosted(person, folder, state, free_port(), free_port())


@pytest.fixture
def project(person: Person, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes projects for either person and takes them down at the end."""
    made: list[Hosted] = []

    def make(source: Path | str | None = None, name: str = "site", **files: str) -> Hosted:
        hosted = place(person, EXAMPLES / source if isinstance(source, str) else source, name)
        made.append(hosted)
        for file, text in files.items():
            hosted.write(file, text)
        return hosted

    yield make
    for hosted in made:
        hosted.end()
        assert not hosted.strays()
        shutil.rmtree(hosted.root.parent, ignore_errors=True)
        if person.uid == 0:
            shutil.rmtree(hosted.state.parent, ignore_errors=True)
