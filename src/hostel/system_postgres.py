"""The PostgreSQL that a Debian or Ubuntu server runs for everybody: finding it, speaking to it.

Starts nothing and changes no configuration. Its superuser is whom the system knows as `postgres`,
so root speaks as that user and needs no password.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostel.account import Account
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.postgres_admin import connect, listening
from hostel.postgres_conf import PORT, SUPERUSER

if TYPE_CHECKING:
    import psycopg

SOCKETS = Path("/var/run/postgresql")
OLDEST = 15
DOING = "looking for this server's PostgreSQL"


@dataclass(frozen=True)
class Cluster:
    """A cluster as pg_lsclusters lists it."""

    major: int
    name: str
    port: int
    online: bool

    @property
    def unit(self) -> str:
        return f"postgresql@{self.major}-{self.name}.service"


def cluster_here(machine: Machine) -> Cluster | None:
    """The cluster that sites get their databases in; None where there is none yet.

    Raises HostelError where several could be meant, or PostgreSQL is too old.
    """
    found = clusters(machine)
    usual = [one for one in found if one.port == PORT] or found
    if not usual:
        return None
    if len(usual) > 1:
        listed = ", ".join(f"{one.major}/{one.name} on port {one.port}" for one in usual)
        raise HostelError(
            DOING,
            f"there are several, and none has the port {PORT}: {listed}",
            f"Give the one that is meant the port {PORT}: pg_conftool VERSION NAME set port {PORT}",
        )
    if usual[0].major < OLDEST:
        raise HostelError(
            DOING,
            f"it is PostgreSQL {usual[0].major}; Hostel needs {OLDEST} or later",
            "Upgrade it (pg_upgradecluster), or set DATABASE_URL yourself: hostel env set",
        )
    return usual[0]


def clusters(machine: Machine) -> list[Cluster]:
    """All clusters of this server; none where PostgreSQL is not installed."""
    ran = machine.run(["pg_lsclusters", "--no-header"], timeout=30, cwd=Path("/"))
    if ran.code == 127:
        return []
    if not ran.ok:
        raise HostelError(DOING, ran.tail or f"pg_lsclusters ended with {ran.code}")
    rows = [line.split() for line in ran.out.splitlines()]
    return [
        Cluster(int(row[0]), row[1], int(row[2]), row[3].startswith("online"))
        for row in rows
        if len(row) >= 4 and row[0].isdecimal() and row[2].isdecimal()
    ]


@dataclass(frozen=True)
class SystemAdmin:
    """The superuser of the server's PostgreSQL. Nothing is remembered: it can always be asked."""

    machine: Machine
    port: int = PORT

    def there(self, machine: Machine) -> bool:
        return self.up()

    def up(self) -> bool:
        return listening(SOCKETS, self.port)

    @contextlib.contextmanager
    def connect(self, doing: str, database: str = SUPERUSER) -> Iterator[psycopg.Connection[Any]]:
        account = Account.named(SUPERUSER)
        if account is None:
            raise HostelError(doing, f"there is no user {SUPERUSER}", "Is PostgreSQL installed?")
        with connect(
            SOCKETS, doing, database, self.port, lambda: self.machine.acting_as(account)
        ) as connection:
            yield connection

    def is_empty(self) -> bool:
        """Whether it runs, and nobody has any data in it."""
        if not self.up():
            return False
        with self.connect("looking for data in PostgreSQL") as connection:
            found = connection.execute(
                "SELECT EXISTS (SELECT FROM pg_database WHERE oid >= 16384)"
                " OR EXISTS (SELECT FROM pg_class WHERE oid >= 16384)"
            ).fetchone()
        return found == (False,)

    @contextlib.contextmanager
    def session(
        self, machine: Machine, doing: str, database: str = SUPERUSER
    ) -> Iterator[psycopg.Connection[Any]]:
        with self.connect(doing, database) as connection:
            yield connection

    def recall(self, which: str, machine: Machine) -> dict[str, Any] | None:
        return None

    def remember(self, which: str, seen: dict[str, Any] | None, machine: Machine) -> None:
        """It can always be asked."""
