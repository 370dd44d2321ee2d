"""The private platform: one folder, no root needed, no router. Its paths and its accounts.

Prepares the state folder and says where everything in it lies; starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from hashlib import sha256
from pathlib import Path

from hostel.account import Account
from hostel.errors import HostelError, UsageError
from hostel.machine import HALF_WRITTEN, Machine
from hostel.platforms.layout import Layout

SHARED_STATE = Path("/var/lib/hostel/up")
"""Where root keeps the state of projects whose own folder other users cannot enter."""

MARK = "made-here"

RUNNERS = ("www-data", "_www", "http", "apache", "nobody")
"""Unprivileged accounts that systems bring along, in order of preference."""


def machine_here() -> Machine:
    """This machine; as root, with an unprivileged account to run sites as."""
    if os.geteuid() != 0:
        return Machine()
    for name in RUNNERS:
        account = Account.named(name)
        if account is not None and account.uid != 0:
            return Machine(account)
    raise HostelError(
        "choosing an unprivileged user for httpd and PostgreSQL",
        f"none of {', '.join(RUNNERS)} exists here",
        "Make one: useradd --system --no-create-home www-data",
    )


def cache_folder(machine: Machine) -> Path:
    """Where what sites share is kept: built modules. Readable by whoever runs sites."""
    if machine.is_root:
        return Path("/var/cache/hostel")
    import platformdirs

    return platformdirs.user_cache_path("hostel")


def state_folder(root: Path, given: Path | None, machine: Machine) -> Path:
    """Where the state of the project in `root` lies, given or worked out; always the same answer.

    As root it must be a place the unprivileged user can enter: beside a project in /root it
    cannot be, so it goes to /var/lib/hostel and `.hostel` points there.
    """
    beside = given or root / ".hostel"
    if beside.is_symlink():
        leads_to = beside.resolve()
        if given is None and machine.is_root and leads_to.parent != SHARED_STATE:
            raise UsageError(
                f"using {beside} for the site's state",
                f"it is a link to {leads_to}, which Hostel did not make",
                "If you mean that folder, name it with --dir.",
            )
        return leads_to
    beside = Path(os.path.abspath(beside))  # noqa: PTH100 - resolve() would follow links
    if not machine.is_root:
        return beside
    closed = machine.first_closed(beside.parent, machine.runner)
    if closed is None:
        return beside
    if given is not None:
        raise UsageError(
            f"using {beside} for the site's state",
            f"the user {machine.runner.name}, as whom httpd runs, cannot enter {closed}",
            f"Give a folder it can enter with --dir, or: chmod o+x {closed}",
        )
    mark = sha256(os.fsencode(root)).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", root.name)[:30] or "site"
    return SHARED_STATE / f"{plain}-{mark}"


def marks_folder(machine: Machine) -> Path:
    """Where this machine remembers, by a mark in each, which state folders it made."""
    if machine.is_root:
        return Path("/var/lib/hostel/made")
    import platformdirs

    return platformdirs.user_data_path("hostel") / "made"


def check_made_here(state: Path, machine: Machine) -> None:
    """Raise UsageError for a state folder that Hostel did not make on this machine.

    A clone or an archive can bring one along. Its journal says which files to put back, its
    records which processes to end, its links where to write: none of it may be believed.
    """
    if not state.is_dir():
        return
    try:
        if not any(state.iterdir()):
            return
        mark = (machine.read(state / MARK) or b"").decode(errors="replace").strip()
    except PermissionError as error:
        raise UsageError(
            f"using {state} for the site's state",
            "it belongs to another user",
            "Run hostel as the user that made it, or give another folder with --dir.",
        ) from error
    if re.fullmatch(r"[0-9a-f]{32}", mark) and (marks_folder(machine) / mark).is_file():
        return
    raise UsageError(
        f"using {state} for the site's state",
        "it was not made by Hostel on this machine; it may have come with the project",
        "Look into it, then remove it. If it is yours from another machine, its data/ and "
        "postgres/ can be moved into the new one.",
    )


def _mark(state: Path, machine: Machine) -> None:
    if machine.read(state / MARK) is None:
        mark = secrets.token_hex(16)
        machine.make_folder(marks_folder(machine), 0o700)
        machine.write(marks_folder(machine) / mark, f"{state}\n".encode(), 0o600)
        machine.write(state / MARK, mark.encode(), 0o600)


def prepare(state: Path, root: Path, machine: Machine) -> None:
    """Make the state folder and those in it, with owners that let an app replace none of it.

    Logs are made beforehand: httpd, as the runner, may append to them but not swap them for
    links that a later root would follow.
    """
    from hostel.rundir import run_dir

    for part in reversed([state, *state.parents]):
        if not part.exists():
            machine.make_folder(part, 0o755)
    if stat.S_IMODE(state.stat().st_mode) & 0o022:
        machine.make_folder(state, 0o755)
    _mark(state, machine)
    if machine.read(state / ".gitignore") is None:
        machine.write(state / ".gitignore", b"*\n", 0o644)
    layout = Layout(state, run_dir(state, machine))
    for folder in layout.folders:
        machine.make_folder(folder, 0o755)
    machine.make_folder(layout.data, 0o750, machine.runner)
    for log in (layout.access_log, layout.error_log, layout.console, layout.postgres_log):
        _ready_log(log, machine)
    beside = root / ".hostel"
    if state.parent == SHARED_STATE and not beside.exists() and os.access(root, os.W_OK):
        beside.symlink_to(state)


def plain_path(path: Path, layout: Layout, machine: Machine) -> Path:
    """The path, or a link to it in the run folder if it is not plain ASCII.

    mod_wsgi reads the path of a Python home by the locale of httpd, which has none.
    """
    if str(path).isascii():
        return path
    link = layout.run / f"to-{sha256(os.fsencode(path)).hexdigest()[:10]}"
    if not link.is_symlink():
        link.symlink_to(path)
        if machine.is_root:
            os.lchown(link, machine.runner.uid, machine.runner.gid)
    return link


def tidy(layout: Layout) -> None:
    """Remove the folders of boot files that are gone, and files a killed run was writing.

    The instance's folder is all Hostel's own.
    """
    for folder in layout.instance.glob("*/"):
        with contextlib.suppress(OSError):
            folder.rmdir()
    for place in (layout.state, layout.instance, layout.done):
        for left in place.glob(f"{HALF_WRITTEN}*"):
            with contextlib.suppress(OSError):
                left.unlink()


def _ready_log(path: Path, machine: Machine) -> None:
    """An empty log with the right owner, the last one moved aside when it has grown."""
    if path.exists() and path.stat().st_size > 10_000_000:
        path.replace(path.with_suffix(".log.1"))
    if not path.exists():
        machine.write(path, b"", 0o640, machine.runner)
