"""The database of a site on the private platform: which PostgreSQL, and what should be there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hostel import postgres
from hostel.machine import Machine
from hostel.plan import Key, State
from hostel.platforms.layout import Layout
from hostel.postgres_conf import digest, settings
from hostel.project import Project
from hostel.resources.cluster import ClusterState, cluster_key
from hostel.resources.database import DatabaseState, database_key
from hostel.resources.role import RoleState, role_key
from hostel.resources.server import ServerState, server_key

SPARE_CONNECTIONS = 10
"""Beyond one for each thread of the app: consoles, hooks, Hostel itself."""


@dataclass(frozen=True)
class DatabasePlan:
    """What should be there, and how people are told of it."""

    title: str
    states: dict[Key, State]


def find(layout: Layout, machine: Machine) -> postgres.Postgres:
    """PostgreSQL for this site: of the major version that made its cluster, if there is one."""
    copies = layout.state / "postgres" / "programs"
    return postgres.find(machine, postgres.cluster_major(layout.cluster, machine), copies=copies)


def database_for(project: Project, workers: int) -> DatabasePlan | None:
    """What the site's `[database]` asks for; None without one.

    `workers` is the number of the app's threads in all processes. Raises HostelError where no
    PostgreSQL fits.
    """
    wanted = project.site.database
    if wanted is None:
        return None
    machine, layout, name = project.machine, project.layout, project.site.name
    found = find(layout, machine)
    texts = settings(
        role=name,
        runner=machine.runner.name,
        operator=machine.me.name,
        socket_dir=layout.run,
        max_connections=workers + SPARE_CONNECTIONS,
    )
    cluster, server = cluster_key(layout.cluster), server_key(layout.cluster)
    role = role_key(name)
    mark = digest(texts.hba, texts.ident, texts.conf)
    states: dict[Key, State] = {
        cluster: ClusterState.of(found.major, texts),
        server: ServerState(settings=mark, needs=(cluster,), loads=(cluster,)),
        role: RoleState(needs=(server,)),
        database_key(name): DatabaseState.of(name, wanted.extensions, (server, role)),
    }
    return DatabasePlan(f"{name} on PostgreSQL {found.version}, {_short(layout)}", states)


def _short(layout: Layout) -> str:
    return str(Path(layout.cluster).parent)
