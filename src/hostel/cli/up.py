"""`hostel up`: bring a site up and stay with it: its log on the screen, its changes live."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hostel.cli import screen
from hostel.errors import HostelError

if TYPE_CHECKING:
    from hostel.project import Project, Running
    from hostel.stage import Stage

EPILOG = """\b
Examples:
  hostel up                        the app in this folder
  hostel up examples/guestbook     the app in that folder
  hostel up mysite.wsgi:application --https 9443
  hostel up --reload               changes go live as you save them
  hostel up --detach               leave it running; `hostel down` ends it
"""

PORT = click.IntRange(1, 65535)
PATIENCE = 120.0
"""Seconds for another run, such as a `hostel down` that waits for requests in flight, to end."""

Changes = queue.Queue[set[Path]]


@click.command(epilog=EPILOG)
@click.argument("target", default=".")
@click.option("--http", type=PORT, help="Port for HTTP, which redirects to HTTPS.  [default: 8080]")
@click.option("--https", type=PORT, help="Port for HTTPS.  [default: 8443]")
@click.option(
    "--dir",
    "state",
    type=click.Path(path_type=Path),
    help="Folder of the site's state.  [default: .hostel beside the site file]",
)
@click.option("--detach", "-d", is_flag=True, help="Leave it running and come back.")
@click.option("--reload", "-r", is_flag=True, help="Take up changed code and environment.")
def up(
    target: str, http: int | None, https: int | None, state: Path | None, detach: bool, reload: bool
) -> None:
    """Host TARGET, a WSGI app, on this machine: HTTPS, environment, database.

    TARGET is a folder with hostel.toml or without, that file, a .py file, or module:callable;
    without one, the folder you are in.
    """
    if detach and reload:
        raise click.UsageError("--reload watches from this terminal; it cannot go with --detach.")
    from hostel import project as projects
    from hostel import up as verbs
    from hostel.platforms import private
    from hostel.stage import set_stage

    machine = private.machine_here()
    project = projects.open_project(target, state, machine)
    for text in project.notes:
        screen.note(text)
    private.prepare(project.layout.state, project.root, machine)
    changed: Changes = queue.Queue()
    # Watched from before it is built, so that no change falls between.
    with _background(_watch, project, changed) if reload else nullcontext():
        with projects.locked(project.layout):
            if verbs.mend(project.layout, machine):
                screen.note("an earlier run was cut short; what it had begun was undone")
            stage = set_stage(project, http, https)
            try:
                outcome = verbs.converge(stage, screen.Steps())
                _announce(
                    project, outcome.running, outcome.note, _how_it_ends(target, state, detach)
                )
            except BaseException:
                # Also when Ctrl-C or a closed pipe comes between "it is up" and staying with it.
                _deaf_to_signals()
                with suppress(HostelError):
                    verbs.take_down_locked(project.layout, machine)
                raise
        if not detach:
            _stay(stage, target, state, changed)


def _announce(project: Project, running: Running, note: str, ends: str) -> None:
    """Say where it is: its addresses to stdout, what else is worth knowing to stderr."""
    click.echo(f"{click.style(running.name, bold=True)} is up", err=True)
    for url in running.urls:
        click.echo(click.style(url, fg="green", bold=True))
    plain = f"http://localhost:{running.http_port} redirects there"
    rows = {
        "http": plain if running.https_port else "",
        "release": f"{running.release}, {running.processes} processes × {running.threads} threads",
        "database": running.database or "",
        "logs": running.log,
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<9}{screen.short(text)}", err=True)
    if note:
        screen.note(note)
    if running.https_port and not _trusted(project):
        screen.note(f"browsers will warn until you run: {screen.command('cert', 'trust')}")
    click.echo(f"  {ends}", err=True)


def _how_it_ends(target: str, state: Path | None, detach: bool) -> str:
    if not detach:
        return "Ctrl-C stops it."
    where = ["--dir", str(state)] if state else []
    return f"It stays up until: {screen.command('down', '' if target == '.' else target, *where)}"


def _trusted(project: Project) -> bool:
    from hostel import localca, trust

    authority = localca.load(localca.default_folder(), project.machine)
    return authority is not None and not trust.wanting(authority, project.machine)


def _stay(stage: Stage, target: str, state: Path | None, changed: Changes) -> None:
    """Show the log and take up changes until Ctrl-C, SIGTERM, or the end of httpd."""
    from hostel import project as projects
    from hostel import up as verbs

    project = stage.project
    with _background(_show_log, project):
        try:
            while projects.instance_of(project.layout, project.machine):
                with suppress(queue.Empty):
                    _take_up(stage, target, state, changed.get(timeout=0.3))
            if _taken_down(project):
                click.echo("stopped by `hostel down`", err=True)
                return
            raise HostelError("serving", "httpd has ended", f"Its last lines: {project.layout.log}")
        except KeyboardInterrupt:
            click.echo("\nstopping; requests in flight are finished first", err=True)
        finally:
            _deaf_to_signals()
            verbs.take_down(project.layout, project.machine, PATIENCE)


def _taken_down(project: Project) -> bool:
    """Whether httpd has ended by a `hostel down`: once that run is over, the record is gone."""
    from hostel import project as projects

    if not project.layout.state.is_dir():
        return True
    with projects.locked(project.layout, PATIENCE):
        return projects.running(project.layout, project.machine) is None


def _deaf_to_signals() -> None:
    """From here on all is stopped in order; a second Ctrl-C must not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _take_up(stage: Stage, target: str, state: Path | None, paths: set[Path]) -> None:
    """Make a change live; if it is no good, say why and let the old code serve on."""
    from hostel import project as projects
    from hostel import up as verbs
    from hostel.stage import restage

    try:
        project = projects.open_project(target, state, stage.project.machine)
        with projects.locked(project.layout):
            outcome = verbs.converge(restage(stage, project), lambda _text: None)
        what = f"live as {outcome.running.release}" if outcome.changed else "nothing to change"
        click.echo(click.style(f"↻ {_named(paths)}: {what}", fg="green"), err=True)
        if outcome.note:
            screen.note(outcome.note)
    except HostelError as error:
        screen.error(error)
        click.echo(click.style("  the old code serves on", fg="yellow"), err=True)


def _named(paths: set[Path]) -> str:
    """The files of a change for people: without those that an editor has removed again."""
    names = sorted({path.name for path in paths if path.exists()} or {p.name for p in paths})
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _show_log(ends: threading.Event, project: Project) -> None:
    from hostel.logs import formatted
    from hostel.tail import follow

    layout = project.layout
    try:
        for record in follow((layout.access_log, layout.error_log), ends):
            text = formatted(record, color=screen.colored())
            if text:
                click.echo(layout.in_project(text))
    except BrokenPipeError:
        # Whoever read it is gone (`hostel up | head`): end as a closed terminal ends us.
        os.kill(os.getpid(), signal.SIGTERM)


def _watch(ends: threading.Event, project: Project, changed: Changes) -> None:
    from hostel.watch import changes

    for paths in changes(project.root, project.layout.state, ends):
        changed.put(paths)


@contextmanager
def _background(work: Callable[..., None], *args: object) -> Iterator[None]:
    """Have a thread at work, until the end of the block; what it still has to say, it says."""
    ends = threading.Event()
    thread = threading.Thread(target=work, args=(ends, *args), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(timeout=5)
