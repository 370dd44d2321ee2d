"""The one way to the outside world: read, write, run, sign in as another user.

Decides nothing. Commands are argument lists, never shell strings; files are written atomically
with their final owner and mode.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostel.account import Account, numbers_of
from hostel.errors import HostelError
from hostel.interrupts import are_held

HALF_WRITTEN = ".hostel-"
"""How the name of a file begins until it is whole; what has it after a run was left by a kill."""


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit code and what it wrote, decoded with replacement."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def tail(self) -> str:
        """The last lines a person needs from a failed command."""
        text = (self.err.strip() or self.out.strip()).splitlines()
        return "\n".join(text[-15:])


class Machine:
    """This machine, seen by the user we are; `runner` is who the site's processes run as.

    As an ordinary user both are the same. As root, `runner` is an unprivileged account, and
    whatever the site executes goes through `as_runner=True`.
    """

    def __init__(self, runner: Account | None = None) -> None:
        self.me = Account.current()
        self.runner = runner or self.me

    @property
    def is_root(self) -> bool:
        return self.me.uid == 0

    def owner(self, owner: str, doing: str) -> Account | None:
        """Whom `user:group` means, for `write` and `make_folder`; only root can give away."""
        if not self.is_root:
            return None
        try:
            return Account(owner, *numbers_of(owner), Path("/"), owner)
        except LookupError as error:
            raise HostelError(doing, str(error)) from error

    # -- files ------------------------------------------------------------------------------

    def read(self, path: Path) -> bytes | None:
        """The file's bytes, or None where there is none."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: Path, data: bytes, mode: int, owner: Account | None = None) -> None:
        """Put `data` at `path`, whole or not at all, never readable beyond `mode`."""
        with explained(f"writing {path}"):
            handle, name = tempfile.mkstemp(prefix=HALF_WRITTEN, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    if self.is_root and owner is not None:
                        os.fchown(file.fileno(), owner.uid, owner.gid)
                    os.fchmod(file.fileno(), mode)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).rename(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            sync_folder(path.parent)

    def make_folder(self, path: Path, mode: int, owner: Account | None = None) -> None:
        """Make one folder (and plain parents) with this mode and owner; settle an existing one."""
        with explained(f"making the folder {path}"):
            path.mkdir(parents=True, exist_ok=True)
            # Root follows no link that others may have put there.
            flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if self.is_root else 0)
            descriptor = os.open(path, flags)
            try:
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                    os.fchmod(descriptor, mode)
                if self.is_root and owner is not None:
                    os.fchown(descriptor, owner.uid, owner.gid)
            finally:
                os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file or a whole folder; nothing there is fine."""
        with explained(f"removing {path}"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def first_closed(self, path: Path, account: Account) -> Path | None:
        """The first component of `path` that `account` may not enter (or read, the last one)."""
        parts = [*reversed(path.parents), path]
        for part in parts:
            try:
                info = part.stat()
            except OSError:
                return part
            wants = 0o1 if part != path else (0o5 if stat.S_ISDIR(info.st_mode) else 0o4)
            if not _allowed(info, account, wants):
                return part
        return None

    @contextlib.contextmanager
    def eyes_of_owner(self, folder: Path) -> Iterator[None]:
        """As root, see files with the rights of whoever owns `folder`, until the block ends.

        Its owner may swap a file or folder in it for a link at any moment; what root alone may
        read must not be found behind it. Reads only: nothing else may happen in the block.
        """
        owner = folder.stat()
        if not self.is_root or owner.st_uid == 0:
            yield
            return
        with _effectively(owner.st_uid, owner.st_gid):
            yield

    @contextlib.contextmanager
    def acting_as(self, account: Account) -> Iterator[None]:
        """As root, be another user to the kernel until the block ends: to open a socket, say."""
        if not self.is_root:
            yield
            return
        with _effectively(account.uid, account.gid):
            yield

    def may_write(self, path: Path, account: Account) -> bool:
        """Whether the mode bits let `account` write the file and make others beside it."""
        with contextlib.suppress(OSError):
            beside = _allowed(path.parent.stat(), account, 0o3)
            return beside and (not path.exists() or _allowed(path.stat(), account, 0o2))
        return False

    # -- processes --------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        as_runner: bool = False,
        stdin: str | bytes = "",
        timeout: float = 600,
        pass_fds: Sequence[int] = (),
    ) -> Ran:
        """Run a command to its end and return what it said. A missing program is exit code 127.

        On Linux it ends with us, even when we are killed: what it left half-done is done again by
        the next run, which it must not disturb. While signals are held back, those of the terminal
        do not reach it either.
        """
        command = [str(part) for part in argv]
        try:
            done = subprocess.run(
                [*_dies_with_us(), *command],
                env=dict(env) if env is not None else None,
                cwd=cwd,
                input=stdin.encode() if isinstance(stdin, str) else stdin,
                capture_output=True,
                timeout=timeout,
                check=False,
                pass_fds=pass_fds,
                process_group=0 if are_held() else None,
                **self._identity(as_runner),
            )
        except FileNotFoundError as error:
            return Ran(tuple(command), 127, "", str(error))
        except PermissionError as error:
            return Ran(tuple(command), 126, "", str(error))
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace")
            return Ran(tuple(command), 124, "", f"{said}\nno end after {timeout:.0f} s")
        return Ran(
            tuple(command),
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        as_runner: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a server in a session of its own, so that a terminal's Ctrl-C is not its own."""
        with explained(f"starting {argv[0]}"), log.open("ab") as out:
            return subprocess.Popen(
                [str(part) for part in argv],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                pass_fds=pass_fds,
                **self._identity(as_runner),
            )

    def end_session(self, child: subprocess.Popen[bytes]) -> None:
        """Kill all that is left of the session of what `spawn` started."""
        # On macOS a session of nothing but the dead may not be signalled.
        with contextlib.suppress(PermissionError):
            self.signal(-child.pid, signal.SIGKILL)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    # -- within -----------------------------------------------------------------------------

    def _identity(self, as_runner: bool) -> dict[str, Any]:
        if not (as_runner and self.is_root):
            return {}
        return {"user": self.runner.uid, "group": self.runner.gid, "extra_groups": []}


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Raise an error of the operating system as a person should read it."""
    try:
        yield
    except OSError as error:
        raise HostelError(doing, error.strerror or str(error), remedy_for(error)) from error


def sync_folder(folder: Path) -> None:
    """Have the names in it outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@functools.cache
def _dies_with_us() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


@contextlib.contextmanager
def _effectively(uid: int, gid: int) -> Iterator[None]:
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def remedy_for(error: OSError) -> str:
    """What a person can do about an error of the operating system."""
    import errno

    where = error.filename or "the folder"
    remedies = {
        errno.ENOSPC: "Free some space on that disk, then run the same command again.",
        errno.EDQUOT: "Your disk quota is used up: free some space, then run it again.",
        errno.EROFS: "That file system is read-only: mount it writable, or give `hostel up` a "
        "writable folder with --dir.",
        errno.EACCES: f"Make {where} writable for you, or give another folder with --dir.",
        errno.EPERM: f"Make {where} writable for you, or give another folder with --dir.",
        errno.ENAMETOOLONG: "Use a shorter path.",
        errno.E2BIG: "No process can be given that much: shorten the values in [env] and .env "
        "(128 KB is the most for one, about 2 MB for all together).",
    }
    return remedies.get(error.errno or 0, "")


def _allowed(info: os.stat_result, account: Account, wants: int) -> bool:
    """Whether the plain mode bits let `account` use the file; ACLs are not read."""
    if account.uid == 0:
        return True
    if info.st_uid == account.uid:
        return (info.st_mode >> 6) & wants == wants
    if info.st_gid == account.gid:
        return (info.st_mode >> 3) & wants == wants
    return info.st_mode & wants == wants
