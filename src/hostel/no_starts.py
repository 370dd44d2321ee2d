"""While packages are installed, nothing that they bring may start: policy-rc.d says so to all.

A policy of the machine's own is kept beside and comes back; after a kill, too: the next run tells
Hostel's by its first lines.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine, remedy_for

FOLDER = Path("/usr/sbin")

_MARK = b"#!/bin/sh\n# Made by hostel "
_OURS = (
    _MARK
    + b"""while it installs packages, so that none of their services starts; gone after.
exit 101
"""
)


@contextlib.contextmanager
def nothing_starts(machine: Machine, folder: Path = FOLDER) -> Iterator[None]:
    """Until the block ends, services are neither started, restarted nor stopped by packages."""
    policy, kept = _places(folder)
    if not _is_ours(policy, machine):
        restore(machine, folder)
        if os.path.lexists(policy):
            # A second name first, so that there is never a moment without a policy.
            with _explained(policy):
                os.link(policy, kept, follow_symlinks=False)
        machine.write(policy, _OURS, 0o755, machine.me)
    try:
        yield
    finally:
        restore(machine, folder)


def is_left(machine: Machine, folder: Path = FOLDER) -> bool:
    """Whether a killed run left its policy, or the machine's own beside it."""
    policy, kept = _places(folder)
    return os.path.lexists(kept) or _is_ours(policy, machine)


def restore(machine: Machine, folder: Path = FOLDER) -> None:
    """The policy as it was, wherever a run of ours was interrupted."""
    policy, kept = _places(folder)
    with _explained(policy):
        if _is_ours(policy, machine):
            if os.path.lexists(kept):
                kept.replace(policy)
            else:
                policy.unlink()
        elif os.path.lexists(policy):
            # The same file under two names; or a newer policy that somebody put there meanwhile.
            kept.unlink(missing_ok=True)
        elif os.path.lexists(kept):
            kept.replace(policy)


def _is_ours(policy: Path, machine: Machine) -> bool:
    return (machine.read(policy) or b"").startswith(_MARK)


def _places(folder: Path) -> tuple[Path, Path]:
    return folder / "policy-rc.d", folder / "policy-rc.d.kept-by-hostel"


@contextlib.contextmanager
def _explained(policy: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostelError(
            f"settling {policy}", error.strerror or str(error), remedy_for(error)
        ) from error
