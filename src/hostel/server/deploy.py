"""Going through with it: the server's part, a site's next generation, back to an old one.

The only module of the server that leads to changes; `hostel.apply` makes them. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hostel import release
from hostel.apply import apply, recover
from hostel.confined import end_scopes
from hostel.drift import state_digest
from hostel.errors import HostelError, RolledBack
from hostel.haproxy_unit import UNIT
from hostel.httpd_build import Httpd
from hostel.machine import HALF_WRITTEN
from hostel.plan import Change, Key, kind_of, name_of
from hostel.release import Release
from hostel.resources.package import Packages
from hostel.resources.release import release_key
from hostel.server import planning, ports, prepare
from hostel.server.desired import check_key, hook_key, probe_key
from hostel.server.generations import Generation
from hostel.server.host import Host
from hostel.server.planning import NOTHING, Planned
from hostel.server.prepare import Prepared
from hostel.server.probing import Probe, answers_through_router
from hostel.server.setting import Setting, names_of
from hostel.server.world import journal_of, world_of
from hostel.site import Site
from hostel.sites_unit import SITES
from hostel.systemd_units import WORKERS

Say = Callable[[str], None]

STEPS = {
    "pgcluster": "starting PostgreSQL",
    "database": "making the database",
    "package": "installing packages",
    "user": "making the user",
    "certificate": "issuing the certificate",
    "check": "importing the app",
    "hook": "running the release hook",
    "probe": "asking it",
    "route": "switching the router",
}


@dataclass(frozen=True)
class Deployed:
    """What is live now; `changed` says whether anything had to be done. `note` is for people, and
    so is `front`: the lines that a server in front of the router needs for names new to it.
    """

    setting: Setting
    url: str
    changed: bool
    note: str
    front: str = ""


@dataclass(frozen=True)
class Mended:
    """What became of a killed run: it was undone, or the rest of it was cleared away."""

    undone: bool = False
    cleared: frozenset[Key] = NOTHING


def mend(host: Host) -> Mended:
    """Undo what a killed run left half-done, or end what it was clearing away."""
    places = host.places
    journal = journal_of(places)
    if not places.journal.exists():
        journal.make_room()  # A disk that was read-only at the end of a run has its reserve still.
        return Mended()
    end_scopes(host.machine)
    cleared = frozenset(change.key for change in journal.clearing())
    at = {change.key for change in journal.pending()} | cleared
    folders = {Path(name_of(which)).parent for which in at if kind_of(which) == "file"}
    world = world_of(host)
    undone = recover(world, journal)
    packages = world.resources["package"]
    if isinstance(packages, Packages):
        packages.tidy(host.machine)
    for folder in (places.var, places.router, *folders):
        for left in folder.glob(f"{HALF_WRITTEN}*"):
            host.machine.remove(left)
    return Mended(bool(undone), cleared)


def foresee(projects: Iterable[prepare.Project], host: Host, keep: frozenset[Key]) -> None:
    """Raise HostelError for what would stop a run only later: ports that others hold, and things
    of others that have the names Hostel wants. Nothing is changed by then.
    """
    sites = [project.site for project in projects]
    names = tuple(name for site in sites for name in names_of(site))
    machine = planning.of_machine(host, keep)
    machine.world.check(machine.plan)
    ports.check(machine, host, names)
    for places in (host.places.site(site.name) for site in sites):
        if places.record.exists():
            continue  # It has its name already.
        planned = planning.of_names(places, host)
        try:
            planned.world.check(planned.plan)
        except HostelError as error:
            error.remedy += " Or give the site another name."
            raise


def settle_machine(host: Host, say: Say, keep: frozenset[Key] = NOTHING) -> bool:
    """Make the server ready for sites; True if anything had to change."""
    changed = False
    for part in (planning.of_packages, planning.of_machine):
        planned = part(host, keep)
        if planned.plan:
            host.places.var.mkdir(mode=0o755, parents=True, exist_ok=True)
            _go(planned, host, lambda: None, say)
            changed = True
    return changed


def converge(
    project: prepare.Project, host: Host, say: Say, keep: frozenset[Key] = NOTHING
) -> Deployed:
    """Bring the project as it is now into service as its site's next generation.

    Raises RolledBack when it would not serve: then the one before serves still.
    """
    httpd = host.httpd()
    return _deploy(prepare.of_project(project, host, httpd), host, httpd, say, keep)


def with_stored(live: Generation, host: Host, say: Say) -> Deployed:
    """Have the live generation's code run with what is stored for its site now. Raises as
    `converge` does.
    """
    httpd = host.httpd()
    return _deploy(prepare.of_live(live, host, httpd), host, httpd, say, NOTHING)


def back_to(old: Generation, host: Host, say: Say) -> Deployed:
    """Bring an old generation back into service, as the next one; neither its project nor its
    site file is needed. Raises as `converge` does.
    """
    httpd = host.httpd()
    return _deploy(prepare.of_generation(old, host, httpd), host, httpd, say, NOTHING)


def _deploy(
    prepared: Prepared, host: Host, httpd: Httpd, say: Say, keep: frozenset[Key]
) -> Deployed:
    host.forget()
    setting = prepared.setting
    notes: list[str] = []
    postgresql = planning.of_postgresql(setting, host)
    if postgresql is not None and postgresql.plan:
        _go(postgresql, host, lambda: None, say)
    actions = _actions(prepared, host, notes)
    which = release_key(setting.site.name, setting.release.id)
    builders = {which: lambda: _built(setting, host, httpd, say)}
    planned = planning.of_site(prepared, host, actions, builders, keep)
    url = prepare.url_of(setting.site, host)
    if not planned.plan:
        return Deployed(setting, url, False, "")

    def well() -> None:
        answers_through_router(setting, host)
        host.services.all_stay(_begun_beside(planned), host.machine)

    try:
        _go(planned, host, well, say)
    except HostelError as error:
        error.happened = setting.places.in_project(error.happened)
        error.detail = setting.places.in_project(error.detail)
        if isinstance(error, RolledBack):
            mend = f"{error.remedy.rstrip('.')}. " if error.remedy else ""
            error.remedy = mend + _meanwhile(prepared)
        raise
    known = prepared.live is not None and names_of(Site.model_validate(prepared.live.site))
    front = "" if known == setting.names else ports.lines_for(setting.names, host)
    return Deployed(setting, url, True, "; ".join(filter(None, notes)), front)


def _begun_beside(planned: Planned) -> list[str]:
    """The workers that a plan starts, by their units."""
    started = (name_of(one.key) for one in planned.plan.changes if kind_of(one.key) == "service")
    return [name for name in started if name.startswith(WORKERS)]


def _meanwhile(prepared: Prepared) -> str:
    """What becomes of the site when its next generation is not fit to serve."""
    live = prepared.live
    if live is None:
        return "Nothing of the site is left on this server."
    return f"Generation {live.number} (release {live.release.id}) is live as before."


def _go(planned: Planned, host: Host, well: Callable[[], None], say: Say) -> None:
    planned.world.check(planned.plan)
    journal = journal_of(host.places)
    apply(planned.plan, planned.world, journal, well, lambda change: _tell(change, say))
    _settle(planned)


def _settle(planned: Planned) -> None:
    """Remember as it is what was already as it shall be, by whatever hand."""
    as_wanted = {
        which: state_digest(state)
        for which, state in planned.wanted.items()
        if planned.seen[which] == state and planned.world.ledger.owns(which)
    }
    planned.world.ledger.settle(as_wanted)


def _built(setting: Setting, host: Host, httpd: Httpd, say: Say) -> Release:
    recipe = prepare.recipe_of(setting.site, setting.root, setting.places)
    machine = host.machine_of(setting.places.user)
    return release.build(recipe, httpd, setting.env, machine, say)


def _actions(prepared: Prepared, host: Host, notes: list[str]) -> dict[str, Callable[[], None]]:
    """What is done once for each generation: the check, the release hook, the first request."""
    from hostel.checkapp import check
    from hostel.hooks import run_hook

    setting, probe = prepared.setting, Probe.of(prepared.setting, host)
    site, timeout = setting.site, float(setting.site.health.timeout)
    python = Path(setting.release.venv) / "bin" / "python"
    hook = site.hooks.release or ()

    def checked() -> None:
        machine = host.machine_of(setting.places.user, setting.limits)
        check(setting.folder / "boot.json", python, machine, timeout)

    def hooked() -> None:
        machine = host.machine_of(setting.places.user, setting.limits)
        run_hook("the release hook", hook, setting.env, setting.code, machine)

    def probed() -> None:
        notes.extend(probe.is_fit(known=not prepared.checked))

    return {
        name_of(check_key(site.name)): checked,
        name_of(hook_key(site.name)): hooked,
        name_of(probe_key(site.name)): probed,
    }


def _tell(change: Change, say: Say) -> None:
    kind, name = kind_of(change.key), name_of(change.key)
    text = STEPS.get(name.rpartition("/")[2] if kind == "once" else kind)
    if kind == "service" and name != SITES:
        text = _step_of_unit(name, ends=change.after is None)
    elif change.after is None:
        text = None
    if text:
        say(text)


def _step_of_unit(unit: str, *, ends: bool) -> str:
    """What is done to a unit, in the words of whoever named it in a site file."""
    name = unit.rpartition(".")[0]
    if unit == UNIT:
        return "stopping the router" if ends else "starting the router"
    if unit.endswith(".timer"):
        job = name.partition(".")[2]
        return f"ending the job {job}" if ends else f"setting the times of the job {job}"
    if unit.startswith(WORKERS):
        worker = name.partition(".")[2].rpartition(".")[0]
        return f"stopping the worker {worker}" if ends else f"starting the worker {worker}"
    return "draining the old instance" if ends else "starting the instance"
