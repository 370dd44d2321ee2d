"""The private platform: one folder, no root needed, no router. Its paths and its accounts.

Prepares the state folder and says where everything in it lies; starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from hashlib import sha256
from pathlib import Path

from hostel.account import Account
from hostel.errors import HostelError, UsageError
from hostel.machine import HALF_WRITTEN, Machine
from hostel.platforms.layout import Layout

SHARED_STATE = Path("/var/lib/hostel/up")
"""Where root keeps the state of projects whose own folder other users cannot enter."""

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
        return beside.resolve()
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
