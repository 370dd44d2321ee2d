"""Taking a site off a server, in two steps: first it ends, then what it leaves goes."""

from __future__ import annotations

from collections.abc import Callable, Set

from hostel.apply import apply
from hostel.errors import HostelError, UsageError
from hostel.interrupts import Interrupted
from hostel.plan import Key, key
from hostel.platforms.debian import SitePlaces
from hostel.processes import wait
from hostel.resources.service import OURS
from hostel.server import beside, generations, planning
from hostel.server.deploy import Say
from hostel.server.host import Host
from hostel.server.planning import Planned
from hostel.server.world import journal_of, world_of
from hostel.states import file_key
from hostel.systemctl import Systemctl

DRAIN_SECONDS = 3900.0


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
