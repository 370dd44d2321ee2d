"""From a stage to a running site: build, decide, apply, verify, and down again. Prints nothing.

The flow of `hostel up`, `--reload` and `hostel down`; each step lives in a module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import resources as package_files

from hostel import project as projects
from hostel.apply import apply, recover
from hostel.desired import INSTANCE, Code, Wanted, Web, desired
from hostel.instance_conf import StaticFolder
from hostel.plan import plan
from hostel.platforms import private
from hostel.private_world import Actions, journal_of, servers, world_of
from hostel.project import Project, Running
from hostel.release import Release, build, prune
from hostel.stage import Stage
from hostel.surroundings import database_of, environment_of
from hostel.verify import verify

Say = Callable[[str], None]


def converge(stage: Stage, say: Say) -> tuple[Running, str]:
    """Bring the site as its files are now into service; returns what runs, and a note or "".

    Raises RolledBack when it would not serve: then what served before serves still.
    """
    project = stage.project
    env = environment_of(stage)
    release = build(project, stage.httpd, env, private.cache_folder(project.machine), say)
    wanted = _wanted(stage, release, env)
    world = world_of(project, stage, Actions(wanted, release))
    journal = journal_of(project, world)
    states = desired(wanted)
    owned = {*states, *_left_over(project)}
    steps = plan(states, {which: world.observe(which) for which in owned})
    note: list[str] = []
    offset = _size(project.layout.error_log)

    def well() -> None:
        who = projects.instance_of(project.layout, project.machine)
        note.append(
            verify(
                project.site,
                stage.front,
                lambda: projects.instance_of(project.layout, project.machine) == who,
                project.layout.error_log,
                offset,
            )
        )

    apply(steps, world, journal, well, lambda change: _tell(change, say))
    running = _running(stage, release, wanted)
    projects.record(running, project.layout, project.machine)
    prune(project.layout.releases, project.layout.venvs, release)
    return running, note[0]


def take_down(project: Project) -> bool:
    """Stop httpd, then PostgreSQL; True if there was anything to stop. Data stay."""
    if not project.layout.state.is_dir():
        return False
    with projects.locked(project.layout):
        world = world_of(project, None, None)
        recover(world, journal_of(project, world))
        observed = {which: world.observe(which) for which in (INSTANCE, *servers(project))}
        steps = plan({}, observed)
        for change in steps.removals:
            world.enact(change)
        project.machine.remove(project.layout.site_record)
        return bool(steps)


def mend(project: Project) -> int:
    """Undo what a killed run left half-done; returns the number of its changes."""
    world = world_of(project, None, None)
    return len(recover(world, journal_of(project, world)))


def _wanted(stage: Stage, release: Release, env: dict[str, str]) -> Wanted:
    project, site = stage.project, stage.project.site
    cores = os.cpu_count() or 1
    return Wanted(
        site=site,
        layout=project.layout,
        runner=project.machine.runner,
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
            release.venv,
            release.module,
            tuple(
                StaticFolder(prefix, release.code / folder)
                for prefix, folder in site.static.items()
            ),
        ),
        env=env,
        boot_script=(package_files.files("hostel") / "boot" / "wsgi.py").read_bytes(),
        # Processes before threads: each has a GIL of its own (see docs/design.md).
        processes=site.server.processes or min(2 * cores, 16),
        threads=site.server.threads or 16,
        database=database_of(project),
    )
