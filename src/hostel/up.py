"""From a stage to a running site: build, decide, apply, verify, and down again. Prints nothing.

The flow of `hostel up`, `--reload` and `hostel down`; each step lives in a module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hostel import boot_files
from hostel import project as projects
from hostel.apply import apply, recover
from hostel.databases import DatabasePlan, database_for
from hostel.desired import CHECK, HOOK, INSTANCE, Code, Wanted, Web, desired, generation
from hostel.errors import HostelError
from hostel.instance import StaticFolder
from hostel.machine import Machine
from hostel.plan import Change, Key, kind_of, name_of, plan
from hostel.platforms import private
from hostel.platforms.layout import Layout
from hostel.private_world import Action, journal_of, world_of
from hostel.project import Project, Running
from hostel.release import Recipe, Release, build, prune
from hostel.resources.server import server_key
from hostel.stage import Stage, front_of
from hostel.states import file_key
from hostel.surroundings import environment_of
from hostel.verify import Patience, verify

Say = Callable[[str], None]

STEPS = {
    "cluster": "making a PostgreSQL cluster",
    "postgres": "starting PostgreSQL",
    "database": "making the database",
    "instance": "starting httpd",
    "check": "importing the app",
    "hook": "running the release hook",
}


@dataclass(frozen=True)
class Outcome:
    """What runs now, whether anything had to change for it, and a note for people or ""."""

    running: Running
    changed: bool
    note: str


def converge(stage: Stage, say: Say) -> Outcome:
    """Bring the site as its files are now into service.

    Raises RolledBack when it would not serve: then what served before serves still.
    """
    project, machine = stage.project, stage.project.machine
    release = _released(stage, say)
    processes, threads = capacity(stage)
    database = database_for(project, processes * threads)
    env = environment_of(stage, release.venv)
    wanted = _wanted(stage, release, env, database, (processes, threads))
    extensions = project.site.database.extensions if project.site.database else ()
    actions = _actions(project, wanted, release)
    world = world_of(project.layout, machine, stage.front, actions, extensions)
    states = desired(wanted)
    keys = {*states, *_left_over(project)}
    steps = plan(states, {which: world.observe(which) for which in keys})
    notes: list[str] = []

    def well() -> None:
        notes.append(_verified(stage, offset))
        projects.record(running, project.layout, machine)

    offset = _size(project)
    running = _running(stage, release, wanted, database)
    try:
        apply(steps, world, journal_of(project.layout), well, lambda change: _tell(change, say))
    except HostelError as error:
        error.happened = project.layout.in_project(error.happened)
        error.detail = project.layout.in_project(error.detail)
        raise
    finally:
        private.tidy(project.layout)
    written = prune(project.layout.releases, project.layout.venvs, release, machine)
    if written:
        notes.append(
            f"the app wrote {written[0]}, which belongs to one release only: name it under keep"
        )
    notes.extend(_unwritable(project, release))
    return Outcome(running, bool(steps), "; ".join(filter(None, notes)))


def _released(stage: Stage, say: Say) -> Release:
    project, machine = stage.project, stage.project.machine
    recipe = Recipe(
        root=project.root,
        state=project.layout.state,
        cache=private.cache_folder(machine),
        python=project.site.python,
        keep=project.site.keep,
        hook=project.site.hooks.build or (),
    )
    # The venv is not known yet; the build puts its own into the hook's environment.
    around = environment_of(stage, project.layout.venvs)
    return build(recipe, stage.httpd, around, machine, say)


def take_down(layout: Layout, machine: Machine, patience: float = 0) -> bool:
    """Stop httpd, then PostgreSQL; True if there was anything to stop. Data stay.

    Raises Busy when another run is still at work on the site after `patience` seconds.
    """
    if not layout.state.is_dir():
        return False
    with projects.locked(layout, patience):
        return take_down_locked(layout, machine)


def take_down_locked(layout: Layout, machine: Machine) -> bool:
    """`take_down` for whoever holds the lock already."""
    mend(layout, machine)
    world = world_of(layout, machine, None)
    stopped = False
    # One after the other: what is wrong with PostgreSQL must not keep httpd from being stopped.
    for which in (INSTANCE, server_key(layout.cluster)):
        steps = plan({}, {which: world.observe(which)})
        for change in steps.removals:
            world.enact(change)
        stopped = stopped or bool(steps)
    machine.remove(layout.site_record)
    private.tidy(layout)
    if not layout.run.is_relative_to(layout.state):
        machine.remove(layout.run)
    return stopped


def mend(layout: Layout, machine: Machine) -> int:
    """Undo what a killed run left half-done; returns the number of its changes."""
    known = projects.running(layout, machine)
    world = world_of(layout, machine, front_of(known) if known else None)
    undone = recover(world, journal_of(layout))
    private.tidy(layout)
    return len(undone)


def capacity(stage: Stage) -> tuple[int, int]:
    """Processes and threads: processes before threads, since each has a GIL of its own."""
    server = stage.project.site.server
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return server.processes or min(2 * (cores or 1), 16), server.threads or 32


def _wanted(
    stage: Stage,
    release: Release,
    env: dict[str, str],
    database: DatabasePlan | None,
    capacity: tuple[int, int],
) -> Wanted:
    site = stage.project.site
    return Wanted(
        site=site,
        layout=stage.project.layout,
        runner=stage.project.machine.runner,
        web=Web(
            stage.httpd.binary,
            stage.httpd.modules_dir,
            stage.httpd.builtin,
            stage.addresses,
            stage.http,
            stage.https or 0,
            stage.certificate,
        ),
        code=Code(
            release.id,
            release.code,
            private.plain_path(release.venv, stage.project.layout, stage.project.machine),
            release.module,
            tuple(
                StaticFolder(prefix, release.code / folder)
                for prefix, folder in site.static.items()
            ),
        ),
        env=env,
        boot_scripts=boot_files.texts(boot_files.BESIDE),
        processes=capacity[0],
        threads=capacity[1],
        database=database.states if database else {},
    )


def _actions(project: Project, wanted: Wanted, release: Release) -> dict[str, Action]:
    """What is done once for each input: the check of the app, the release hook."""
    from hostel.checkapp import check
    from hostel.hooks import run_hook

    machine, timeout = project.machine, float(project.site.health.timeout)
    hook = project.site.hooks.release or ()

    def checked() -> None:
        boot = generation(wanted) / "boot.json"
        check(boot, release.venv / "bin" / "python", machine, timeout)

    def hooked() -> None:
        run_hook("the release hook", hook, wanted.env, release.code, machine)

    return {name_of(CHECK): checked, name_of(HOOK): hooked}


def _unwritable(project: Project, release: Release) -> Iterator[str]:
    """Data in the project that the app's user could not change, as when root hosts it."""
    runner = project.machine.runner
    for name in release.kept:
        path = project.root / name
        if project.machine.is_root and not project.machine.may_write(path, runner):
            yield (
                f"{runner.name}, as whom the app runs, cannot write {name}: "
                f"chown {runner.name} it and the folder it is in, or use a [database]"
            )


def _verified(stage: Stage, offset: int) -> str:
    project = stage.project
    began = projects.instance_of(project.layout, project.machine)

    def alive() -> bool:
        return projects.instance_of(project.layout, project.machine) == began

    health = project.site.health
    patience = Patience(health.path, health.timeout, "path" in health.model_fields_set)
    return verify(project.site.name, patience, stage.front, alive, project.layout.error_log, offset)


def _left_over(project: Project) -> list[Key]:
    """Files of earlier releases in the instance's folder, which is all Hostel's own."""
    folder = project.layout.instance
    return [file_key(path) for path in folder.rglob("*") if path.is_file()]


def _running(
    stage: Stage, release: Release, wanted: Wanted, database: DatabasePlan | None
) -> Running:
    front = stage.front
    return Running(
        name=stage.project.site.name,
        urls=stage.urls,
        release=release.id,
        address=front.address,
        host=front.host,
        http_port=stage.http,
        https_port=stage.https,
        authority=str(front.authority) if front.authority else None,
        health=stage.project.site.health.path,
        database=database.title if database else None,
        log=str(stage.project.layout.log),
        root=str(stage.project.root),
        processes=wanted.processes,
        threads=wanted.threads,
    )


def _tell(change: Change, say: Say) -> None:
    kind, name = kind_of(change.key), name_of(change.key)
    text = STEPS.get(name if kind == "once" else kind)
    if kind == "instance" and change.before is not None:
        text = "switching httpd to the new release"
    if text and change.after is not None:
        say(text)


def _size(project: Project) -> int:
    log = project.layout.error_log
    return log.stat().st_size if log.exists() else 0
