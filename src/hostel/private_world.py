"""The resources of one site on the private platform, bound to its places. Only ties together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostel import databases, httpd_build
from hostel.apply import World
from hostel.journal import Journal
from hostel.machine import Machine
from hostel.plan import State
from hostel.platforms.layout import Layout
from hostel.postgres_admin import Admin
from hostel.resources import Resource
from hostel.resources.cluster import Clusters, ClusterState
from hostel.resources.database import Databases, DatabaseState
from hostel.resources.file import Files
from hostel.resources.instance import InstancePlaces, Instances
from hostel.resources.once import Once
from hostel.resources.role import Roles, RoleState
from hostel.resources.server import Servers, ServerState
from hostel.states import Done, FileState, InstanceState
from hostel.verify import Front, is_live

Action = Callable[[], None]

KINDS: dict[str, type[State]] = {
    "file": FileState,
    "instance": InstanceState,
    "once": Done,
    "hook": Done,
    "cluster": ClusterState,
    "postgres": ServerState,
    "role": RoleState,
    "database": DatabaseState,
}


def world_of(
    layout: Layout,
    machine: Machine,
    front: Front | None,
    actions: Mapping[str, Action] | None = None,
    extensions: tuple[str, ...] = (),
) -> World:
    """Every kind of resource of this site. `front` is where its instance is asked, if it is known;
    `actions` are what the `once` resources do, by name.
    """
    servers = Servers(lambda: databases.find(layout, machine), layout.run, layout.postgres_log)
    admin = Admin(layout.cluster, layout.run, servers)
    places = InstancePlaces(
        binary=lambda: httpd_build.find(machine).binary,
        conf=layout.conf,
        record=layout.record,
        error_log=layout.error_log,
        console=layout.console,
    )
    resources: dict[str, Resource] = {
        "file": Files(layout.instance),
        "instance": Instances(
            places,
            lambda generation: front is not None and is_live(front, generation),
        ),
        "once": Once(layout.done, dict(actions or {})),
        # Remembered beside the database it was run on: without it, it has to run again.
        "hook": Once(layout.cluster.parent, dict(actions or {})),
        "cluster": Clusters(lambda: databases.find(layout, machine)),
        "postgres": servers,
        "role": Roles(admin),
        "database": Databases(admin, extensions),
    }
    return World(resources, machine)


def journal_of(layout: Layout) -> Journal:
    return Journal(layout.journal, KINDS)
