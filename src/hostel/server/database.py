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


def database_states(
    places: SitePlaces, database: Database, extensions: tuple[str, ...]
) -> dict[Key, State]:
    """PostgreSQL, the site's role and its database. A cluster that was there is used as it is,
    whichever packages it came with.
    """
    states: dict[Key, State] = {}
    cluster, role = system_cluster_key(), role_key(places.user)
    if database.is_first:
        states[packages_key(POSTGRESQL)] = PackagesState(names=(POSTGRESQL,))
    states[cluster] = SystemClusterState(needs=tuple(states))
    states[role] = RoleState(needs=(cluster,))
    states[database_key(places.name)] = DatabaseState.of(places.user, extensions, (cluster, role))
    return states


def database_keys(places: SitePlaces) -> tuple[Key, ...]:
    """What is the site's own of it, and goes with its data."""
    return (role_key(places.user), database_key(places.name))
