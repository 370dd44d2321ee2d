"""The database of a site in the server's own PostgreSQL, as states. Pure.

The site's role has the name of its system user: so the socket alone says who it is, and there is no
password. It owns one database, which has the site's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostel.environ import PORT, DatabaseAddress
from hostel.plan import Key, State
from hostel.platforms.debian import SitePlaces
from hostel.resources.database import DatabaseState, database_key
from hostel.resources.package import PackagesState, packages_key
from hostel.resources.role import RoleState, role_key
from hostel.resources.system_cluster import SystemClusterState, system_cluster_key
from hostel.system_postgres import SOCKETS

POSTGRESQL = "postgresql"
"""The set of packages for databases, and the package in it."""


@dataclass(frozen=True)
class Database:
    """A site's database: the port of the server's cluster, and whether that has yet to be made."""

    port: int = PORT
    is_first: bool = False


def address(places: SitePlaces, database: Database) -> DatabaseAddress:
    """Where the app finds it."""
    return DatabaseAddress(places.user, places.name, SOCKETS, database.port)


def postgresql_states(*, is_first: bool) -> dict[Key, State]:
    """PostgreSQL itself. A cluster that was there is used as it is, whichever packages it came
    with; `is_first` says that there is none yet.
    """
    states: dict[Key, State] = {}
    if is_first:
        states[packages_key(POSTGRESQL)] = PackagesState(names=(POSTGRESQL,))
    states[system_cluster_key()] = SystemClusterState(needs=tuple(states))
    return states


def database_states(places: SitePlaces, extensions: tuple[str, ...]) -> dict[Key, State]:
    """The site's role and its database."""
    role = role_key(places.user)
    return {
        role: RoleState(),
        database_key(places.name): DatabaseState.of(places.user, extensions, (role,)),
    }


def database_keys(places: SitePlaces) -> tuple[Key, ...]:
    """What is the site's own of it, and goes with its data."""
    return (role_key(places.user), database_key(places.name))
