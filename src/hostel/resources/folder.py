"""Folders: their mode and owner. What lies in them is the matter of others.

Works on folders that are open, never twice on a path: in a folder that belongs to a site's user,
that user may put a link in the place of anything at any moment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hostel.account import owner_of
from hostel.errors import HostelError
from hostel.machine import HALF_WRITTEN, Machine, remedy_for
from hostel.plan import Change, Key, State, key, name_of
from hostel.states import surrounding

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, kw_only=True)
class FolderState(State):
    """A folder; `owner` is `user:group`, see FileState. `whole`: all that is in it goes with it.

    `is_a` says what is in its place where that is no folder.
    """

    mode: int
    owner: str
    is_a: str = "folder"
    whole: bool = field(default=False, compare=False)


def folder_key(path: Path) -> Key:
    return key("folder", path)


class Folders:
    """Folders that are all `inside` these, which may be among them. Parents are not made: each
    is a folder with a mode and an owner too.

    Those that are `whole` are removed with all that is in them, others only when nothing is.
    """

    def __init__(self, *inside: Path, whole: Callable[[Path], bool] | None = None) -> None:
        self.inside = inside
        self.whole = whole or (lambda _: False)

    def observe(self, which: Key, machine: Machine) -> FolderState | None:
        path = Path(name_of(which))
        try:
            info = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        # Which group an ordinary user's folders get is the system's choice.
        owner = owner_of(info.st_uid, info.st_gid if machine.is_root else machine.me.gid)
        return FolderState(
            mode=stat.S_IMODE(info.st_mode),
            owner=owner,
            is_a=_kind(info.st_mode),
            whole=self.whole(path),
            needs=surrounding(path, owner),
        )

    def enact(self, change: Change, machine: Machine) -> None:
        path = Path(name_of(change.key))
        doing = f"{change.verb[:-1]}ing the folder {path}"
        self._check(path, doing)
        with _explained(doing):
            try:
                above = _opened(path.parent, machine)
            except (FileNotFoundError, NotADirectoryError):
                if change.after is None:
                    return
                raise HostelError(doing, f"there is no folder {path.parent}") from None
            try:
                if isinstance(change.after, FolderState):
                    _settle(above, path, change.after, doing, machine)
                else:
                    before = change.before
                    whole = isinstance(before, FolderState) and before.whole
                    _remove(above, path, whole, doing, machine)
                os.fsync(above)
            finally:
                os.close(above)

    def _check(self, path: Path, doing: str) -> None:
        plain = Path(os.path.normpath(path))
        # The root and what lies in it belong to the system, whatever a plan says.
        if plain != path or len(plain.parts) < 3 or not any(map(plain.is_relative_to, self.inside)):
            raise HostelError(doing, f"it is not inside {' or '.join(map(str, self.inside))}")


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFREG: "file"}
    return names.get(stat.S_IFMT(mode), "special file")


def _settle(above: int, path: Path, state: FolderState, doing: str, machine: Machine) -> None:
    """Make it, closed to all others until its owner is right, or put an existing one right."""
    owner = machine.owner(state.owner, doing)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path.name, 0o700, dir_fd=above)
    try:
        here = os.open(path.name, _OPEN, dir_fd=above)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        kind = _kind(os.stat(path.name, dir_fd=above, follow_symlinks=False).st_mode)
        raise HostelError(
            doing,
            f"there is a {kind} in its place",
            "See what it is and move it away, then run the same command again.",
        ) from error
    try:
        if owner is not None:
            os.fchown(here, owner.uid, owner.gid)
        os.fchmod(here, state.mode)
    finally:
        os.close(here)


def _remove(above: int, path: Path, whole: bool, doing: str, machine: Machine) -> None:
    try:
        info = os.stat(path.name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        raise HostelError(doing, f"there is a {_kind(info.st_mode)} in its place")
    if whole:
        _refuse_mounts(path, doing, machine)
        shutil.rmtree(path.name, dir_fd=above)
        return
    here = os.open(path.name, _OPEN, dir_fd=above)
    try:
        for name in _names(here):
            if name.startswith(HALF_WRITTEN):  # Left by a kill.
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=here)
        left = _names(here)
    finally:
        os.close(here)
    if left:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        raise HostelError(
            doing,
            f"Hostel did not make what is in it: {shown}",
            "Move it away or remove it, then run the same command again.",
        )
    os.rmdir(path.name, dir_fd=above)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _refuse_mounts(path: Path, doing: str, machine: Machine) -> None:
    """Another file system below it was put there by somebody, and may hold anything."""
    lines = (machine.read(Path("/proc/self/mountinfo")) or b"").splitlines()
    real = path.parent.resolve() / path.name
    # The kernel writes spaces and the like as octal numbers.
    points = [os.fsdecode(_OCTAL.sub(_octal, line.split(b" ")[4])) for line in lines]
    mounted = [point for point in points if Path(point).is_relative_to(real)]
    if mounted:
        raise HostelError(
            doing,
            f"another file system is mounted at {mounted[0]}",
            f"If it is not wanted there: umount {mounted[0]}",
        )


def _octal(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])


def _opened(path: Path, machine: Machine) -> int:
    """Open a folder from the root down, following only links that nobody else can have made."""
    todo, links = list(reversed(path.parts[1:])), 0
    here = os.open("/", _OPEN)
    try:
        while todo:
            name = todo.pop()
            try:
                below = os.open(name, _OPEN, dir_fd=here)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                target = _trusted_link(here, name, machine)
                links += 1
                if target is None or links > _MOST_LINKS:
                    raise HostelError(
                        f"opening the folder {path}",
                        f"{name} is a link that others may have put there",
                        "Name the folder that it leads to instead.",
                    ) from error
                todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                below = os.open("/" if target.is_absolute() else ".", _OPEN, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def _trusted_link(folder: int, name: str, machine: Machine) -> Path | None:
    """Where a link leads that is ours or root's, in a folder where nobody else can replace it."""
    info, around = os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(folder)
    if not stat.S_ISLNK(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    trusted = {0, machine.me.uid}
    shared = around.st_mode & 0o022 and not around.st_mode & stat.S_ISVTX
    if info.st_uid not in trusted or around.st_uid not in trusted or shared:
        return None
    return Path(os.readlink(name, dir_fd=folder))


@contextlib.contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostelError(doing, error.strerror or str(error), remedy_for(error)) from error
