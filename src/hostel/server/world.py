"""Every kind of resource of a server, bound to its places. Only ties together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hostel.environ import PORT
from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.owned_world import OwnedWorld
from hostel.plan import Key, State
from hostel.platforms import debian
from hostel.platforms.debian import ServerPlaces
from hostel.release import Release
from hostel.reserve import Reserve
from hostel.resources import Resource
from hostel.resources.database import Databases, DatabaseState
from hostel.resources.file import Files
from hostel.resources.folder import Folders, FolderState
from hostel.resources.once import Once
from hostel.resources.package import Packages, PackagesState
from hostel.resources.release import Releases, ReleaseState
from hostel.resources.role import Roles, RoleState
from hostel.resources.route import RouteState
from hostel.resources.router_files import RouterFiles, RouterFilesState
from hostel.resources.service import ServiceState
from hostel.resources.site_certificate import SiteCertificates, SiteCertificateState
from hostel.resources.system_cluster import SystemCluster, SystemClusterState
from hostel.resources.user import Users, UserState
from hostel.server.database import POSTGRESQL
from hostel.server.host import Host
from hostel.states import Done, FileState
from hostel.system_postgres import SystemAdmin

Action = Callable[[], None]
Builder = Callable[[], Release]

KINDS: dict[str, type[State]] = {
    "certificate": SiteCertificateState,
    "database": DatabaseState,
    "file": FileState,
    "folder": FolderState,
    "hook": Done,
    "once": Done,
    "package": PackagesState,
    "pgcluster": SystemClusterState,
    "release": ReleaseState,
    "role": RoleState,
    "route": RouteState,
    "router": RouterFilesState,
    "service": ServiceState,
    "user": UserState,
}

SERVER = "server"
"""The set of packages that every server has."""


def world_of(
    host: Host,
    actions: Mapping[str, Action] | None = None,
    builders: Mapping[Key, Builder] | None = None,
    whole: tuple[Path, ...] = (),
    database: tuple[int, tuple[str, ...]] = (PORT, ()),
) -> OwnedWorld:
    """The world of this server. `actions` are what the `once` and `hook` resources do, by name;
    `builders` make a release, by its key. Folders in `whole` go with all that is in them.
    `database` is the port of PostgreSQL, and the extensions that are looked at.
    """
    port, extensions = database
    admin = SystemAdmin(host.machine, port)
    places = host.places
    ledger = Ledger(places.ledger, host.machine)
    once = Once(places.sites, dict(actions or {}))
    inside = (places.etc, places.srv, places.var, places.units, places.tmpfiles.parent)
    resources: dict[str, Resource] = {
        "certificate": SiteCertificates(places.authority),
        "file": Files(*inside),
        "folder": Folders(*inside, places.log, places.run, whole=frozenset(whole).__contains__),
        "hook": once,
        "once": once,
        "database": Databases(admin, extensions),
        "package": Packages(ledger, {SERVER: debian.PACKAGES, POSTGRESQL: (POSTGRESQL,)}),
        "pgcluster": SystemCluster(),
        "role": Roles(admin),
        "release": Releases(places.srv, builders or {}),
        "route": host.routes,
        "router": RouterFiles(host.routes.routes),
        "service": host.services,
        "user": Users(),
    }
    return OwnedWorld(resources, host.machine, ledger)


def journal_of(places: ServerPlaces) -> Journal:
    """The journal of this server's runs; to undo one, the ledger, the router's files and units may
    have to be written."""
    return Journal(places.journal, KINDS, Reserve((places.var, places.router, places.units)))
