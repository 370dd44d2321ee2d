"""A project on this machine: its site, its layout, its lock, and what is recorded as running.

Opens and reads; builds and changes nothing but the state folder itself.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hostel import processes
from hostel.errors import Busy, UsageError
from hostel.machine import Machine
from hostel.platforms import private
from hostel.platforms.layout import Layout
from hostel.processes import Identity
from hostel.site import Site


@dataclass(frozen=True)
class Place:
    """A project's folder and the place of its state, whatever its site file says."""

    root: Path
    layout: Layout
    machine: Machine


@dataclass(frozen=True)
class Project:
    """A site in its folder and the place of its state. `notes` say what was guessed and why."""

    root: Path
    site: Site
    layout: Layout
    machine: Machine
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Running:
    """What is up, as `status` shows it and site.json keeps it. Holds no secrets."""

    name: str
    urls: tuple[str, ...]
    release: str
    address: str
    host: str
    http_port: int
    https_port: int | None
    authority: str | None
    health: str
    database: str | None
    log: str
    root: str
    processes: int
    threads: int


def open_project(target: str, state: Path | None, machine: Machine) -> Project:
    """Read the site that `target` names and find where its state lies; changes nothing.

    The notes also say what of the site needs a server.

    Raises UsageError for a target or site file that cannot be used.
    """
    from hostel.background import left_out_here
    from hostel.sitefile import load_site
    from hostel.target import resolve

    site, notes = load_site(resolve(target))
    place = open_place(target, state, machine)
    return Project(place.root, site, place.layout, machine, (*notes, *left_out_here(site)))


def name_of(target: str, place: Place) -> str:
    """What to call a site that may not be up: by its site file, by its folder if that is broken."""
    from hostel.sitefile import load_site
    from hostel.target import resolve

    try:
        return load_site(resolve(target))[0].name
    except UsageError:
        return place.root.name


def open_place(target: str, state: Path | None, machine: Machine) -> Place:
    """Find where the state of `target` lies. Reads no site file: a broken one must not keep a
    site from being looked at or stopped.
    """
    from hostel.rundir import run_dir
    from hostel.target import resolve

    root = resolve(target).root
    folder = private.state_folder(root, state, machine)
    _fits_httpd(root, folder)
    private.check_made_here(folder, machine)
    return Place(root, Layout(folder, run_dir(folder, machine)), machine)


def _fits_httpd(*paths: Path) -> None:
    for path in paths:
        why = ""
        if any(ord(char) < 32 or ord(char) == 127 for char in str(path)):
            why = "a control character, which no httpd configuration can carry"
        elif any("\ud800" <= char <= "\udfff" for char in str(path)):
            why = "bytes that are not UTF-8, which mod_wsgi cannot read"
        if why:
            raise UsageError(
                f"using the folder {str(path)!r}",
                f"its name holds {why}",
                "Rename the folder, or give another one for the state with --dir.",
            )


@contextlib.contextmanager
def locked(layout: Layout, patience: float = 0) -> Iterator[None]:
    """Keep other runs of this site out; raises Busy, naming the first, when one is still under
    way after `patience` seconds.
    """
    import filelock

    lock = filelock.FileLock(layout.lock, mode=0o600)
    holder = layout.state / "lock.pid"
    try:
        lock.acquire(timeout=patience)
    except filelock.Timeout:
        with contextlib.suppress(OSError):
            raise Busy(
                "taking the lock of this site",
                f"another hostel is at work on it (pid {holder.read_text().strip()})",
                "Wait for it to end, then run this again.",
            ) from None
        raise Busy("taking the lock of this site", "another hostel is at work on it") from None
    try:
        holder.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()


def instance_of(layout: Layout, machine: Machine) -> Identity | None:
    """The living httpd that the record names; None when it is gone or never was."""
    record = _json(machine, layout.record)
    who = Identity(int(record.get("pid", 0)), float(record.get("began", 0)))
    if not who.pid or not processes.alive(who):
        return None
    return who if processes.is_ours(who, layout.conf, machine.runner.uid) else None


def running(layout: Layout, machine: Machine) -> Running | None:
    """What the last `up` recorded; whether it is alive, `instance_of` says."""
    said = _json(machine, layout.site_record)
    try:
        return Running(**{**said, "urls": tuple(said["urls"])})
    except (KeyError, TypeError):
        return None


def record(running_now: Running, layout: Layout, machine: Machine) -> None:
    text = json.dumps(asdict(running_now), indent=1).encode()
    machine.write(layout.site_record, text, 0o644)


def _json(machine: Machine, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(machine.read(path) or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
