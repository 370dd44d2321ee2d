"""Taking a site off a server, in two steps: first it ends, then what it leaves goes.

And the server's own part after the last one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Set

from hostel.apply import apply
from hostel.apt import Apt
from hostel.errors import HostelError, UsageError
from hostel.interrupts import Interrupted
from hostel.plan import Key, key, kind_of, name_of
from hostel.platforms.debian import SitePlaces
from hostel.processes import wait
from hostel.resources.package import packages_key
from hostel.resources.service import OURS
from hostel.server import beside, generations, planning, status, takedown
from hostel.server.database import POSTGRESQL
from hostel.server.deploy import Say
from hostel.server.host import Host
from hostel.server.planning import Planned
from hostel.server.world import journal_of, world_of
from hostel.states import file_key
from hostel.systemctl import Systemctl

DRAIN_SECONDS = 3900.0

_DATA = "--data removes the data of former sites, too"


def remove(
    name: str, host: Host, say: Say, cleared: Set[Key] = frozenset(), *, data: bool
) -> list[str]:
    """Remove the site; returns what stays, in words. What Hostel did not make is left alone.

    Raises UsageError for a site that is not here. `cleared` is what a killed run was clearing away:
    that may have been the last of it.
    """
    places = host.places.site(name)
    its_own = {*planning.of_site_alone(places, data=True), file_key(places.record)}
    if not (cleared & its_own or _is_here(places, host, data=data)):
        raise UsageError(
            f"removing {name}", "no such site is here", "`hostel status` lists those that are."
        )
    try:
        _remove(places, host, say, data=data)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"{name} is removed in part: run the same command again, it goes on there"
        ) from error
    if data:
        return []
    stay = f"its data stay in {places.data}, its logs in {places.log}, its user {places.user}"
    database = key("database", places.name) in world_of(host).ledger.digests
    return [stay + (f", its database {places.name}" if database else "")]


def remove_server(host: Host, say: Say, *, data: bool) -> list[str]:
    """Remove the router, its units, folders and packages; returns what stays, in words.

    Raises UsageError while there are sites, and where there is nothing of Hostel's.
    """
    doing = "removing what Hostel has on this server"
    live = status.names_on(host)
    if live:
        first = f"Remove them first: hostel remove {live[0]}"
        raise UsageError(doing, f"there are sites on it: {', '.join(live)}", first)
    if not takedown.is_here(host):
        raise UsageError(doing, "there is nothing", "")
    for name in takedown.former_sites(host) if data else ():
        remove(name, host, say, data=True)
    say("stopping the router")
    _go(takedown.of_units(host), host)
    say("removing files and folders")
    _go(takedown.of_files(host, data=data), host)
    Systemctl(host.machine).daemon_reload()
    if data:
        host.machine.remove(host.places.authority)
    _go(takedown.of_folders(host), host)
    return [*_end_packages(host, say, data=data), *_end_records(host, data=data)]


def _end_packages(host: Host, say: Say, *, data: bool) -> list[str]:
    planned = takedown.of_packages(host)
    if planned.plan:
        say("removing packages that nobody else needs")
        _go(planned, host)
    ledger = planned.world.ledger
    if ledger.owns(packages_key(POSTGRESQL)):
        why = "others have data in it" if data else _DATA
        return [f"PostgreSQL stays: {why}"]
    former = [which for which in ledger.digests if kind_of(which) == "package"]
    named = [name_of(which) for which in former]
    stay = sorted(Apt(host.machine).installed(named)) if named else []
    ledger.forget(*former)
    return [f"others use these packages by now, so they stay: {', '.join(stay)}"] if stay else []


def _end_records(host: Host, *, data: bool) -> list[str]:
    """The ledger goes when nothing is in it, and the run folder with this run's own lock last."""
    places, machine = host.places, host.machine
    if not world_of(host).ledger.digests:
        machine.remove(places.ledger)
        with contextlib.suppress(OSError):
            places.var.rmdir()
    machine.remove(places.run)
    left = ", ".join(map(str, takedown.left_of(places)))
    why = "" if data else f"; {_DATA}"
    return [f"these folders stay, with what is in them: {left}{why}"] if left else []


def _is_here(places: SitePlaces, host: Host, *, data: bool) -> bool:
    """Whether anything is left to remove; a removal may have been broken off anywhere."""
    if generations.live_of(places, host.machine) or planning.numbers(places):
        return True
    made = world_of(host).ledger.digests
    return bool(made.keys() & planning.of_site_alone(places, data=data)) or (
        data and places.store.parent.exists()
    )


def _remove(places: SitePlaces, host: Host, say: Say, *, data: bool) -> None:
    name = places.name
    say("taking its names from the router, and draining its instances")
    _go(planning.of_end(places, host), host)
    systemd = Systemctl(host.machine)
    instances = {places.unit(number) for number in planning.numbers(places)}

    def ended() -> bool:
        found = systemd.show(OURS)
        workers = beside.workers_among(places, found)
        return all(unit.is_over for name, unit in found.items() if name in instances | workers)

    if not wait(ended, DRAIN_SECONDS, 0.1):
        raise HostelError(f"removing {name}", "its instances do not end", "systemctl status")
    say("removing its releases and files")
    _go(planning.of_removal(places, host, data=data), host)
    if data:
        host.machine.remove(places.store.parent)
    systemd.daemon_reload()


def _go(planned: Planned, host: Host) -> None:
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    planned.world.check(planned.plan)
    apply(planned.plan, planned.world, journal_of(host.places), nothing, lambda _change: None)
