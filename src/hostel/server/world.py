"""Every kind of resource of a server, bound to its places. Only ties together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from hostel.haproxy import RouterPaths, RouterPorts
from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.machine import Machine
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
from hostel.resources.route import Routes, RouteState
from hostel.resources.router_files import RouterFiles, RouterFilesState
from hostel.resources.service import Services, ServiceState
from hostel.resources.site_certificate import SiteCertificates, SiteCertificateState
from hostel.resources.user import Users, UserState
from hostel.states import Done, FileState
from hostel.systemctl import Systemctl

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

_INSTANCE = re.compile(r"hostel-instance@(.+)-[0-9]+\.service")


def world_of(
    places: ServerPlaces,
    ports: RouterPorts,
    machine: Machine,
    actions: Mapping[str, Action] | None = None,
    builders: Mapping[Key, Builder] | None = None,
    whole: tuple[Path, ...] = (),
) -> OwnedWorld:
    """The world of this server. `actions` are what the `once` and `hook` resources do, by name;
    `builders` make a release, by its key. Folders in `whole` go with all that is in them.
    """
    ledger = Ledger(places.ledger, machine)
    systemd = Systemctl(machine)
    once = Once(places.sites, dict(actions or {}))
    routes = Routes(debian.HAPROXY, ports, RouterPaths(places.router), lambda: reload(systemd))
    inside = (places.etc, places.srv, places.var, places.units, places.tmpfiles.parent)
    resources: dict[str, Resource] = {
        "certificate": SiteCertificates(places.authority),
        "file": Files(*inside),
        "folder": Folders(*inside, places.log, places.run, whole=frozenset(whole).__contains__),
        "hook": once,
        "once": once,
        "package": Packages(ledger, {SERVER: debian.PACKAGES}),
        "release": Releases(places.srv, builders or {}),
        "route": routes,
        "router": RouterFiles(routes),
        "service": Services(lambda unit: error_log_of(unit, places)),
        "user": Users(),
    }
    return OwnedWorld(resources, machine, ledger)


def journal_of(places: ServerPlaces) -> Journal:
    return Journal(places.journal, KINDS)


def reload(systemd: Systemctl) -> None:
    systemd.reload("hostel-router.service")


def error_log_of(unit: str, places: ServerPlaces) -> Path | None:
    """Where the processes of a unit write their errors, if that is not the journal."""
    match = _INSTANCE.fullmatch(unit)
    return error_log(places.site(match[1]).log) if match else None


def error_log(folder: Path) -> Path:
    """The error log of today, as rotatelogs names it."""
    return folder / f"error.{datetime.now():%Y-%m-%d}.log"
