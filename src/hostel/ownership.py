"""Who owns a release's code: the runner while a hook runs in it, nobody who could change it after.

The runner may have put anything there meanwhile, so nothing here follows a link or opens a file
by a path the runner could exchange.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hostel.machine import Machine
from hostel.source import mode_of


def hand_over(code: Path, machine: Machine) -> None:
    """Give the copy to the runner; as an ordinary user it is ours already."""
    if machine.is_root:
        _each(code, machine.runner.uid, machine.runner.gid)


def settle(code: Path, machine: Machine) -> None:
    """Take the copy back, with plain modes: read by all, or closed to all but the runner."""
    if machine.is_root:
        _each(code, machine.me.uid, machine.runner.gid)
    else:
        _each(code, -1, -1)


def _each(code: Path, uid: int, gid: int) -> None:
    for _, folders, files, at in os.fwalk(code, follow_symlinks=False):
        _own(at, uid, gid)
        for name in (*folders, *files):
            info = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                os.chown(name, uid, gid, dir_fd=at, follow_symlinks=False)
            elif stat.S_ISREG(info.st_mode):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                file = os.open(name, flags, dir_fd=at)
                try:
                    _own(file, uid, gid)
                finally:
                    os.close(file)
            elif not stat.S_ISDIR(info.st_mode):
                os.unlink(name, dir_fd=at)  # A socket or pipe the hook has left.


def _own(descriptor: int, uid: int, gid: int) -> None:
    info = os.fstat(descriptor)
    is_folder = stat.S_ISDIR(info.st_mode)
    if not is_folder and info.st_nlink > 1:
        return  # A second name of it may lie anywhere: what it is there, it stays.
    wide = 0o755 if is_folder or info.st_mode & 0o100 else 0o644
    private = not info.st_mode & (0o001 if is_folder else 0o004)
    mode = mode_of(wide, private)
    if uid not in (-1, info.st_uid) or gid not in (-1, info.st_gid):
        os.fchown(descriptor, uid, gid)
    if stat.S_IMODE(info.st_mode) != mode:
        os.fchmod(descriptor, mode)
