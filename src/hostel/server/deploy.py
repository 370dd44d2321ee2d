"""Going through with it: the server's part, a site's next generation, back to an old one.

The only module of the server that leads to changes; `hostel.apply` makes them. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostel import release
from hostel.apply import apply, recover
from hostel.drift import state_digest
from hostel.errors import HostelError
from hostel.haproxy_unit import UNIT
from hostel.httpd_build import Httpd
from hostel.plan import Change, Key, kind_of, name_of
from hostel.release import Release
from hostel.resources.release import release_key
from hostel.resources.service import service_key
from hostel.server import planning, prepare
from hostel.server.desired import check_key, hook_key, probe_key
from hostel.server.generations import Generation
from hostel.server.host import Host, error_log
from hostel.server.planning import NOTHING, Planned
from hostel.server.prepare import Prepared
from hostel.server.setting import LOOPBACK, Setting, conf
from hostel.server.world import journal_of, world_of
from hostel.verify import Front, Patience, is_live, verify

Say = Callable[[str], None]

STEPS = {
    "package": "installing packages",
    "user": "making the user",
    "certificate": "issuing the certificate",
    "check": "importing the app",
    "hook": "running the release hook",
    "probe": "asking it",
    "route": "switching the router",
}

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Deployed:
    """What is live now; `changed` says whether anything had to be done. `note` is for people."""

    setting: Setting
    url: str
    changed: bool
    note: str


def mend(host: Host) -> int:
    """Undo what a killed run left half-done; returns the number of its changes."""
    if not host.places.journal.exists():
        return 0
    return len(recover(world_of(host), journal_of(host.places)))


def settle_machine(host: Host, say: Say, keep: frozenset[Key] = NOTHING) -> bool:
    """Make the server ready for sites; True if anything had to change."""
    from hostel.server import ports

    planned = planning.of_machine(host, keep)
    if not planned.plan:
        return False
    ports.check(planned, host)
    host.places.var.mkdir(mode=0o755, parents=True, exist_ok=True)
    _go(planned, host, lambda: None, say)
    return True


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
    actions = _actions(setting, host, notes)
    which = release_key(setting.site.name, setting.release.id)
    builders = {which: lambda: _built(setting, host, httpd, say)}
    planned = planning.of_site(prepared, host, actions, builders, keep)
    url = prepare.url_of(setting.site, host)
    if not planned.plan:
        return Deployed(setting, url, False, "")

    def well() -> None:
        _answers_through_router(setting, host)

    try:
        _go(planned, host, well, say)
    except HostelError as error:
        error.happened = setting.places.in_project(error.happened)
        error.detail = setting.places.in_project(error.detail)
        raise
    return Deployed(setting, url, True, "; ".join(filter(None, notes)))


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


def _actions(setting: Setting, host: Host, notes: list[str]) -> dict[str, Callable[[], None]]:
    """What is done once for each generation: the check, the release hook, the first request."""
    from hostel.checkapp import check
    from hostel.hooks import run_hook

    site, timeout = setting.site, float(setting.site.health.timeout)
    began = _size(error_log(setting.places.log))
    python = Path(setting.release.venv) / "bin" / "python"
    hook = site.hooks.release or ()

    def checked() -> None:
        check(setting.folder / "boot.json", python, host.machine_of(setting.places.user), timeout)

    def hooked() -> None:
        machine = host.machine_of(setting.places.user)
        run_hook("the release hook", hook, setting.env, setting.code, machine)

    def probed() -> None:
        notes.append(_answers(setting, host, began))
        notes.append(_all_serve(setting))

    return {
        name_of(check_key(site.name)): checked,
        name_of(hook_key(site.name)): hooked,
        name_of(probe_key(site.name)): probed,
    }


def _answers(setting: Setting, host: Host, began: int) -> str:
    """Ask the new instance itself, before anybody is led to it.

    What it logs is looked for after `began` bytes of the error log.
    """
    health, site = setting.site.health, setting.site
    log = error_log(setting.places.log)
    front = _front(setting, host, direct=True)

    def alive() -> bool:
        host.services.forget()
        return host.services.observe(service_key(setting.unit), host.machine) is not None

    declared = "path" in health.model_fields_set
    patience = Patience(health.path, health.timeout, declared)
    return verify(site.name, patience, front, alive, log, began)


def _all_serve(setting: Setting) -> str:
    """Wait until every process has loaded the app; returns a note for people, or "".

    The first one alone would be given all connections at the switch, more than it has threads,
    and httpd closes what it has no thread for.
    """
    from hostel.processes import wait

    run, loaded = setting.places.run(setting.number), "loaded-*"
    if wait(lambda: len([*run.glob(loaded)]) >= setting.processes, setting.site.health.timeout):
        return ""
    return f"only {len([*run.glob(loaded)])} of {setting.processes} processes serve so far"


def _answers_through_router(setting: Setting, host: Host) -> None:
    from hostel.processes import wait

    front, mark = _front(setting, host, direct=False), conf(setting)[1]
    if not wait(lambda: is_live(front, mark), PATIENCE_SECONDS, 0.02):
        raise HostelError(
            f"asking for {front.host} through the router",
            "the new generation did not answer there",
            "See how the router is: systemctl status hostel-router",
        )


def _front(setting: Setting, host: Host, *, direct: bool) -> Front:
    secure = bool(setting.certificate)
    ports = setting.ports if direct else host.ports
    port = ports.https if secure else ports.http
    authority = host.authority if secure else None
    return Front(LOOPBACK, port, setting.names[0], authority, proxied=direct)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _tell(change: Change, say: Say) -> None:
    kind, name = kind_of(change.key), name_of(change.key)
    text = STEPS.get(name.rpartition("/")[2] if kind == "once" else kind)
    if kind == "service":
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
    if unit.startswith("hostel-worker@"):
        worker = name.partition(".")[2].rpartition(".")[0]
        return f"stopping the worker {worker}" if ends else f"starting the worker {worker}"
    return "draining the old instance" if ends else "starting the instance"
