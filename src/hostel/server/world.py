"""Every kind of resource of a server, bound to its places. Only ties together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.owned_world import OwnedWorld
from hostel.plan import Key, State
from hostel.platforms import debian
from hostel.platforms.debian import ServerPlaces
from hostel.release import Release
from hostel.resources import Resource
from hostel.resources.file import Files
from hostel.resources.folder import Folders, FolderState
from hostel.resources.once import Once
from hostel.resources.package import Packages, PackagesState
from hostel.resources.release import Releases, ReleaseState
from hostel.resources.route import RouteState
from hostel.resources.router_files import RouterFiles, RouterFilesState
from hostel.resources.service import ServiceState
from hostel.resources.site_certificate import SiteCertificates, SiteCertificateState
from hostel.resources.user import Users, UserState
from hostel.server.host import Host
from hostel.states import Done, FileState

Action = Callable[[], None]
Builder = Callable[[], Release]

KINDS: dict[str, type[State]] = {
    "certificate": SiteCertificateState,
    "file": FileState,
    "folder": FolderState,
    "hook": Done,
    "once": Done,
    "package": PackagesState,
    "release": ReleaseState,
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
) -> OwnedWorld:
    """The world of this server. `actions` are what the `once` and `hook` resources do, by name;
    `builders` make a release, by its key. Folders in `whole` go with all that is in them.
    """
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
        "package": Packages(ledger, {SERVER: debian.PACKAGES}),
        "release": Releases(places.srv, builders or {}),
        "route": host.routes,
        "router": RouterFiles(host.routes.routes),
        "service": host.services,
        "user": Users(),
    }
    return OwnedWorld(resources, host.machine, ledger)


def journal_of(places: ServerPlaces) -> Journal:
    return Journal(places.journal, KINDS)
