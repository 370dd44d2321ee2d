"""Plans that take the server's own part away, when no site is left on it. Reads only.

They are gone through one after the other, each made when the one before it is done: the router
ends, files go, then the folders that are empty by then, at last the packages. What is in the
folders that Hostel did not make stays, and so do those folders.
"""

from __future__ import annotations

from pathlib import Path

from hostel.plan import Key, kind_of, name_of
from hostel.platforms.debian import ServerPlaces
from hostel.resources.folder import folder_key
from hostel.resources.package import Packages, packages_key
from hostel.resources.system_cluster import system_cluster_key
from hostel.server import planning
from hostel.server.database import POSTGRESQL
from hostel.server.host import Host, scripts
from hostel.server.machine_part import machine_states
from hostel.server.planning import Planned
from hostel.server.world import SERVER, world_of
from hostel.system_postgres import SystemAdmin, clusters


def former_sites(host: Host) -> tuple[str, ...]:
    """The sites that were removed, and whose data or variables are still here."""
    places, made = host.places, world_of(host).ledger.digests
    names = {path.name for path in (places.etc / "sites").glob("*/")}
    for which in made:
        path = Path(name_of(which))
        if kind_of(which) == "folder" and path.parent in (places.srv, places.log):
            names.add(path.name)
    return tuple(sorted(names))


def is_here(host: Host) -> bool:
    """Whether there is anything of the server's own part."""
    return bool(world_of(host).ledger.digests) or host.places.var.exists()


def of_units(host: Host) -> Planned:
    """The router, and what else systemd starts for all sites."""
    keys = [which for which in _own(host) if kind_of(which) == "service"]
    return planning.removal_of("this server", world_of(host), keys)


def of_files(host: Host, *, data: bool) -> Planned:
    """Files, the router's user, and with the data the cluster in which they were, if it is empty
    by now: others may have put theirs there."""
    world = world_of(host)
    keys = [which for which in _own(host) if kind_of(which) not in ("folder", "service")]
    if data and world.ledger.owns(system_cluster_key()) and _is_unused(host):
        keys.append(system_cluster_key())
    return planning.removal_of("this server", world, keys)


def of_folders(host: Host) -> Planned:
    """The folders in which nothing is left, from the inside out; and what was built."""
    places = host.places
    going: list[Path] = []
    own = [Path(name_of(which)) for which in _own(host) if kind_of(which) == "folder"]
    for path in sorted(own, key=lambda one: len(one.parts), reverse=True):
        if path == places.cache or all(one in going for one in _entries(path)):
            going.append(path)
    world = world_of(host, whole=(places.cache,))
    # The lock of this very run lies there; it goes at the very end.
    keys = [folder_key(path) for path in going if path != places.run]
    return planning.removal_of("this server", world, keys)


def of_packages(host: Host) -> Planned:
    """The packages that nobody else needs by now. PostgreSQL stays as long as it has a cluster."""
    world = world_of(host)
    packages = world.resources["package"]
    assert isinstance(packages, Packages)
    sets = [SERVER, *([] if clusters(host.machine) else [POSTGRESQL])]
    states = {packages_key(name): packages.staying(name, host.machine) for name in sets}
    return planning.removal_of("packages", world, list(states), states)


def _own(host: Host) -> list[Key]:
    """What Hostel made of the server's own part."""
    owns = world_of(host).ledger.owns
    return [which for which in machine_states(host.places, host.ports, scripts()) if owns(which)]


def _is_unused(host: Host) -> bool:
    """Whether the server's one cluster is there and holds nobody's data."""
    found = clusters(host.machine)
    return len(found) == 1 and SystemAdmin(host.machine, found[0].port).is_empty()


def _entries(path: Path) -> list[Path]:
    return [*path.iterdir()] if path.is_dir() else []


def left_of(places: ServerPlaces) -> list[Path]:
    """The folders of Hostel's that are still there, since something is in them."""
    every = (places.etc, places.srv, places.log, places.var)
    return [path for path in every if path.is_dir()]
