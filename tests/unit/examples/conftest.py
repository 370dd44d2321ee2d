"""What the tests of the examples share: the examples themselves and a real PostgreSQL."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

Load = Callable[[Path, str], ModuleType]


@dataclass(frozen=True)
class Answer:
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@pytest.fixture(scope="session")
def ask() -> Callable[..., Answer]:
    """Asks a WSGI app as a server does, and checks that both keep to the rules."""

    def ask(app: Any, path: str = "/", **environ: str) -> Answer:
        environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", **environ}
        setup_testing_defaults(environ)
        started: dict[str, Any] = {}

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            started.update(status=status, headers=dict(headers))
            return lambda data: None

        parts = validator(app)(environ, start_response)
        body = b"".join(parts)
        parts.close()  # type: ignore[attr-defined]
        return Answer(**started, body=body)

    return ask


@pytest.fixture(scope="session")
def examples() -> Path:
    return Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module from an example's folder, as its server would; forgets it afterwards."""
    path_before, modules_before = list(sys.path), set(sys.modules)
    folders: list[Path] = []

    def load(folder: Path, name: str) -> ModuleType:
        folders.append(folder)
        sys.path.insert(0, str(folder))
        return import_module(name)

    yield load
    sys.path[:] = path_before
    for name in set(sys.modules) - modules_before:
        file = Path(getattr(sys.modules[name], "__file__", None) or "/")
        if any(file.is_relative_to(folder) for folder in folders):
            del sys.modules[name]


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips tests whose example has requirements that are not installed."""

    def needs(*modules: str) -> None:
        for module in modules:
            try:
                import_module(module)
            except ModuleNotFoundError:
                cannot_run(f"the module {module} is not installed")

    return needs


def cannot_run(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server: DATABASE_URL, or a private one for these tests."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short, as sockets need
    try:
        with private_server(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def private_server(folder: Path) -> Iterator[str]:
    binaries = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4])
    )
    if not binaries:
        cannot_run("no PostgreSQL: set DATABASE_URL, or install the package postgresql")
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses root
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    log = folder / "log"

    def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [binaries[-1].with_name(program), "-D", folder / "data", *arguments],
                cwd=folder,
                stdout=output,
                stderr=output,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=account and [],
            )

    # Whoever reaches the socket is trusted; the folder around it is closed to others.
    made = start("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
    assert made.wait() == 0, log.read_text()
    postgres = start("postgres", "-k", str(folder), "-h", "", "-F")
    try:
        url = f"postgresql://postgres@/postgres?host={folder}"
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert postgres.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield url
    finally:
        postgres.send_signal(signal.SIGINT)  # at once, whoever is connected
        postgres.wait()


@pytest.fixture
def disconnect(database_url: str) -> Callable[[], int]:
    """Ends all connections to the database, as a restart does, and counts them."""

    def disconnect() -> int:
        with psycopg.connect(database_url) as connection:
            return connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            ).rowcount

    return disconnect


@pytest.fixture(scope="module")
def database_url(server: str) -> Iterator[str]:
    """The address of an empty database of one module's own."""
    name = f"hostel_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))
