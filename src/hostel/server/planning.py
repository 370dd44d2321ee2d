"""Plans of a server and of each site on it: what is, what shall be, and the way. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostel.apt import Apt
from hostel.drift import Drift, drifts, kept
from hostel.environ import PORT
from hostel.owned_world import OwnedWorld
from hostel.plan import Key, Plan, State, kind_of, plan
from hostel.platforms import debian
from hostel.platforms.debian import SitePlaces
from hostel.release import Release
from hostel.resources.folder import folder_key
from hostel.resources.release import release_key
from hostel.resources.route import route_key
from hostel.resources.service import service_key
from hostel.resources.site_certificate import certificate_key
from hostel.resources.user import user_key
from hostel.server import beside
from hostel.server.database import POSTGRESQL, database_keys, postgresql_states
from hostel.server.desired import (
    check_key,
    folders,
    generation_keys,
    hook_key,
    probe_key,
    site_states,
)
from hostel.server.host import Host, scripts
from hostel.server.machine_part import machine_states, package_states
from hostel.server.prepare import Prepared
from hostel.server.setting import Setting
from hostel.server.world import world_of
from hostel.site import Site
from hostel.states import file_key
from hostel.system_postgres import cluster_here

Action = Callable[[], None]
Builder = Callable[[], Release]
NOTHING: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Planned:
    """A plan with what it was made of. `title` is what it is about: a site, or the server."""

    title: str
    world: OwnedWorld
    wanted: Mapping[Key, State]
    seen: Mapping[Key, State | None]
    plan: Plan
    drift: tuple[Drift, ...]


def of_packages(host: Host, keep: frozenset[Key] = NOTHING) -> Planned:
    """The packages that every server has, a plan of their own: what fails later must not take away
    again what took a minute to install. `keep` are keys of things that stay as they are.
    """
    return _planned("packages", package_states(), world_of(host), keep)


def of_machine(host: Host, keep: frozenset[Key] = NOTHING) -> Planned:
    """The server's own part, when its packages are there."""
    states = machine_states(host.places, host.ports, scripts())
    return _planned("this server", states, world_of(host), keep)


def of_names(places: SitePlaces, host: Host) -> Planned:
    """The user and folders of a site, which its name alone decides."""
    return _planned(places.name, folders(places), world_of(host), NOTHING)


def missing_packages(host: Host, sites: Iterable[Site]) -> tuple[str, ...]:
    """What apt would install for these sites, on this server as it is."""
    wanted = {*debian.PACKAGES}
    if any(site.database is not None for site in sites) and cluster_here(host.machine) is None:
        wanted.add(POSTGRESQL)
    return tuple(sorted(wanted - Apt(host.machine).installed(wanted)))


def of_postgresql(setting: Setting, host: Host) -> Planned | None:
    """The PostgreSQL that the site's database is in; None where it asks for none.

    A plan of its own: a site that fails must not take it away again from the next one.
    """
    if setting.database is None:
        return None
    states = postgresql_states(is_first=setting.database.is_first)
    return _planned("PostgreSQL", states, world_of(host), NOTHING)


def of_site(
    prepared: Prepared,
    host: Host,
    actions: Mapping[str, Action] | None = None,
    builders: Mapping[Key, Builder] | None = None,
    keep: frozenset[Key] = NOTHING,
) -> Planned:
    """A site as it was prepared; what is left of former generations is taken away."""
    setting = prepared.setting
    whole = tuple(trees(setting.places))
    world = world_of(host, actions, builders, whole, _database(setting))
    states = site_states(setting, prepared.made, checked=prepared.checked)
    stale = [
        service_key(setting.places.unit(number))
        for number in numbers(setting.places)
        if number != setting.number
    ]
    draining = host.services.draining(host.machine)
    old = [number for number in gone(prepared) if setting.places.unit(number) not in draining]
    stale += pruned(prepared, old)
    stale += _former_beside(prepared, world, old)
    return _planned(setting.site.name, states, world, keep, stale)


def _database(setting: Setting) -> tuple[int, tuple[str, ...]]:
    extensions = setting.site.database.extensions if setting.site.database else ()
    return (setting.database.port if setting.database else PORT, extensions)


def numbers(places: SitePlaces) -> tuple[int, ...]:
    """Every generation of which anything is left on disk."""
    names = {path.name for path in places.generations.glob("*/")}
    names |= {path.stem for path in places.generation_record(1).parent.glob("*.json")}
    prefix = places.unit(0).removesuffix("0.service")
    for path in places.server.units.glob(f"{prefix}*.service.d"):
        names.add(path.name.removeprefix(prefix).removesuffix(".service.d"))
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def pruned(prepared: Prepared, old: Collection[int]) -> list[Key]:
    """What goes of generations that are not kept any longer, and releases that none of them is."""
    setting, places = prepared.setting, prepared.setting.places
    keys = [which for number in old for which in generation_keys(places, number)]
    used = {setting.release.id} | {
        one.release.id for number, one in prepared.known.items() if number not in old
    }
    folders = (path.name for path in places.releases.glob("*/"))
    keys += [release_key(places.name, name) for name in sorted(folders) if name not in used]
    return keys


def gone(prepared: Prepared) -> list[int]:
    """The generations that are kept no longer. They go with a switch only, so that there is nothing
    to do for what is live, though one of them had to wait for its last request.
    """
    setting = prepared.setting
    if not prepared.is_new:
        return []
    others = [number for number in numbers(setting.places) if number != setting.number]
    # What is draining is still read: the one that is live until now never goes with its switch.
    before = prepared.live.number if prepared.live else 0
    return [number for number in others[: 1 - debian.KEPT_GENERATIONS] if number != before]


def _former_beside(prepared: Prepared, world: OwnedWorld, old: Collection[int]) -> list[Key]:
    """Workers and jobs that were there before. The files of a generation's workers stay as long as
    it does: what stops reads them.
    """
    places = prepared.setting.places
    kept_numbers = {prepared.setting.number, *prepared.known} - set(old)
    return [
        which
        for which in beside.known(places, world.ledger.digests)
        if kind_of(which) == "service" or beside.generation_of(places, which) not in kept_numbers
    ]


def of_end(places: SitePlaces, host: Host) -> Planned:
    """Ending a site: nobody is led to it any more, and its instances drain."""
    world = world_of(host)
    units = [service_key(places.unit(number)) for number in numbers(places)]
    around = beside.known(places, world.ledger.digests)
    units += [which for which in around if kind_of(which) == "service"]
    return _planned(places.name, {}, world, NOTHING, [*units, route_key(places.name)])


def of_removal(places: SitePlaces, host: Host, *, data: bool) -> Planned:
    """Taking away what an ended site leaves: files, folders, user; data and logs if so said."""
    world = world_of(host, whole=(*trees(places),))
    keys = [*of_site_alone(places, data=data)]
    for number in numbers(places):
        keys += generation_keys(places, number)
    for path in places.releases.glob("*/"):
        keys.append(release_key(places.name, path.name))
    keys += [certificate_key(path) for path in places.certificates.glob("*.pem")]
    keys += beside.known(places, world.ledger.digests)
    keys += [check_key(places.name), hook_key(places.name), probe_key(places.name)]
    # Last: as long as it is there, the site is known and its removal can be gone on with.
    keys.insert(0, file_key(places.record))
    return _planned(places.name, {}, world, NOTHING, keys)


def of_site_alone(places: SitePlaces, *, data: bool) -> list[Key]:
    """What is there for the site as long as it is: its user and folders, but for what stays when
    its data do."""
    stay = set() if data else {*map(folder_key, (places.home, places.data, places.log))}
    if not data:
        stay.add(user_key(places.user))
    own = (*folders(places), *(database_keys(places) if data else ()))
    return [which for which in own if which not in stay]


def removal_of(
    title: str,
    world: OwnedWorld,
    keys: list[Key],
    stay: Mapping[Key, State | None] | None = None,
) -> Planned:
    """Taking these things away, but for what is to `stay` of them."""
    states = {which: state for which, state in (stay or {}).items() if state is not None}
    return _planned(title, states, world, NOTHING, keys)


def trees(places: SitePlaces) -> list[Path]:
    """The folders that are all the site's own, and go with all that is in them."""
    known = [*(places.generation(number) for number in numbers(places))]
    known += [places.dropin(number).parent for number in numbers(places)]
    return [
        *(places.home, places.releases, places.venvs, places.generations, places.certificates),
        *(places.data, places.log, places.records, places.done),
        *(places.generation_record(1).parent, *known),
    ]


def _planned(
    title: str,
    states: Mapping[Key, State],
    world: OwnedWorld,
    keep: frozenset[Key],
    stale: list[Key] | None = None,
) -> Planned:
    seen = {which: world.observe(which) for which in dict.fromkeys([*states, *(stale or [])])}
    found = drifts(world.ledger.digests, seen, states)
    wanted = kept(states, seen, keep & {*seen}) if keep else dict(states)
    return Planned(title, world, wanted, seen, plan(wanted, seen), found)
