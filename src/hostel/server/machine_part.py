"""What a server has before it has a site: packages, folders, the router. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hostel.boot_files import FOR_ALL
from hostel.haproxy import RouterPaths, RouterPorts
from hostel.haproxy_unit import UNIT, USER, router_unit
from hostel.plan import Key, State
from hostel.platforms import debian
from hostel.platforms.debian import ServerPlaces
from hostel.resources.folder import FolderState, folder_key
from hostel.resources.package import PackagesState, packages_key
from hostel.resources.router_files import RouterFilesState, router_key
from hostel.resources.service import ServiceState, service_key
from hostel.resources.user import UserState, user_key
from hostel.sites_unit import SITES, sites_unit
from hostel.states import FileState, file_key
from hostel.systemd_units import instance_template

ROOT = "root:root"
TEMPLATE = "hostel-instance@.service"
LOG_DAYS = 30


def package_states() -> dict[Key, State]:
    """The packages that every server needs."""
    return {packages_key("server"): PackagesState(names=debian.PACKAGES)}


def machine_states(
    places: ServerPlaces, ports: RouterPorts, scripts: Mapping[str, bytes]
) -> dict[Key, State]:
    """The states of a server that is ready for sites, but for its packages."""
    states: dict[Key, State] = {}
    _folders(states, places)
    files = {
        places.tmpfiles: tmpfiles(places),
        places.units / TEMPLATE: instance_template(),
        places.units / SITES: sites_unit(),
        places.units / UNIT: router_unit(debian.HAPROXY, RouterPaths(places.router).config),
        **{places.boot / name: scripts[name].decode() for name in FOR_ALL},
    }
    for path, text in files.items():
        folder = folder_key(path.parent)
        states[file_key(path)] = replace(
            FileState.of(text.encode(), mode=0o644, owner=ROOT),
            needs=(folder,) if folder in states else (),
        )
    user = user_key(USER)
    states[user] = UserState.of(USER, "/nonexistent")
    states[router_key()] = RouterFilesState(
        http=ports.http, https=ports.https, needs=(folder_key(places.router),)
    )
    needs = (user, router_key(), file_key(places.units / UNIT))
    states[service_key(UNIT)] = ServiceState(needs=needs)
    states[service_key(SITES)] = ServiceState(needs=(file_key(places.units / SITES),))
    return states


def _folders(states: dict[Key, State], places: ServerPlaces) -> None:
    """Add the folders in which things are that are no one site's."""

    def folder(path: Path) -> None:
        above = folder_key(path.parent)
        needs = (above,) if above in states else ()
        states[folder_key(path)] = FolderState(mode=0o755, owner=ROOT, needs=needs)

    for path in (places.etc, places.srv, places.var, places.log, places.run):
        folder(path)
    for path in (places.router, places.etc / "sites", places.sites, places.cache, places.boot):
        folder(path)


def tmpfiles(places: ServerPlaces) -> str:
    """What systemd-tmpfiles keeps: the run folder after a boot, logs for a month."""
    return (
        "# Written by Hostel; it is replaced at the next change.\n"
        f"d {places.run} 0755 root root -\n"
        f"e {places.log}/* - - - {LOG_DAYS}d\n"
    )
