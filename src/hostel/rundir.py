"""Where a site's sockets lie: in its state folder, or in a short folder where that is too long.

Names a folder and makes it private; what goes into it is the business of others.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.postgres_conf import SOCKET

LONGEST = 103
"""Bytes of a socket's path that macOS takes, the shortest limit; Linux takes 107."""

_PLAIN = re.compile(rb"[A-Za-z0-9/._+@~-]+")
"""Paths that stay one word in URLs, lists split at commas, and configuration."""


def run_dir(state: Path, machine: Machine) -> Path:
    """The folder for the sockets of the site whose state is in `state`; always the same answer.

    It is made, private to the runner, as soon as the state folder is there. Raises HostelError
    when somebody else has taken its name.
    """
    folder = choose(state, machine)
    if state.is_dir():
        private_folder(folder, machine)
    return folder


def choose(state: Path, machine: Machine) -> Path:
    """Which folder it is; touches nothing."""
    beside = state / "run"
    encoded = os.fsencode(beside)
    if len(encoded) + 1 + len(SOCKET) <= LONGEST and _PLAIN.fullmatch(encoded):
        return beside
    mark = sha256(os.fsencode(state)).hexdigest()[:10]
    return _short_base(machine) / f"hostel-{machine.runner.uid}-{mark}"


def private_folder(folder: Path, machine: Machine) -> None:
    """Make `folder` for the runner alone, or make sure that it is already just that.

    Nothing is settled that is there already: in /tmp anybody may have put it there.
    """
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        if not _half_made(folder, machine):
            _check(folder, machine)
            return
    except OSError as error:
        raise HostelError(
            f"making the folder {folder}",
            error.strerror or str(error),
            f"Make {folder.parent} writable for you.",
        ) from error
    machine.make_folder(folder, 0o700, machine.runner)


def _short_base(machine: Machine) -> Path:
    # Not $XDG_RUNTIME_DIR: cron and sudo do not have it, so that `down` would look elsewhere
    # than `up`, and it goes away with the last login while a detached site stays.
    return Path("/run") if machine.is_root and Path("/run").is_dir() else Path("/tmp")


def _half_made(folder: Path, machine: Machine) -> bool:
    """Whether root made it a moment before it was killed, and had not yet given it away."""
    info = folder.lstat()
    ours = machine.is_root and info.st_uid == 0 and machine.runner.uid != 0
    return ours and stat.S_ISDIR(info.st_mode) and not info.st_mode & 0o077


def _check(folder: Path, machine: Machine) -> None:
    info = folder.lstat()
    if stat.S_ISLNK(info.st_mode):
        wrong = "it is a symbolic link"
    elif not stat.S_ISDIR(info.st_mode):
        wrong = "it is not a folder"
    elif info.st_uid != machine.runner.uid:
        wrong = f"it belongs to another user (number {info.st_uid})"
    elif info.st_mode & 0o077:
        wrong = f"other users may use it (its mode is {stat.S_IMODE(info.st_mode):04o})"
    else:
        return
    raise HostelError(
        f"using {folder} for the site's sockets",
        wrong,
        f"Find out who made it, remove it, then run the same command again: ls -ld {folder}",
    )
