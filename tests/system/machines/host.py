"""The host of the machines: whether it will do, where things lie, and its small chores.

Knows nothing of Debian trees or of what runs inside a machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The working tree whose Hostel is tested."""

PROGRAMS = {
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}


class HostTrouble(Exception):
    """A chore on the host failed; the message has the command and what it said."""


def why_not() -> str | None:
    """Why no machine can be booted here, or None."""
    if sys.platform != "linux":
        return "booted machines need Linux"
    if os.geteuid() != 0:
        return "booted machines need root"
    missing = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if missing:
        return f"booted machines need, as root: apt-get install {' '.join(sorted(missing))}"
    if not Path("/dev/loop-control").exists():
        return "booted machines need loop devices: there is no /dev/loop-control"
    kinds = Path("/proc/filesystems").read_text().split()
    lacking = [kind for kind in ("ext4", "overlay") if kind not in kinds and not _loaded(kind)]
    return f"booted machines need the file system {lacking[0]}" if lacking else None


def _loaded(module: str) -> bool:
    modprobe = shutil.which("modprobe")
    if modprobe is None:
        return False
    return subprocess.run([modprobe, "-q", module], check=False, timeout=60).returncode == 0


def base() -> Path:
    """Where layers and disks lie. Root's alone: a machine's disk holds private keys."""
    folder = Path(os.environ.get("HOSTEL_TEST_MACHINES") or "/var/tmp/hostel-machines")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise HostTrouble(f"{folder} belongs to somebody else: set HOSTEL_TEST_MACHINES")
    return folder.resolve()


def must(argv: Sequence[str | Path], *, stdin: str | None = None, timeout: float = 300) -> str:
    """What the command printed. HostTrouble, with its last words, when it fails."""
    words = [str(word) for word in argv]
    try:
        ran = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostTrouble(f"{' '.join(words)}: {error}") from error
    if ran.returncode:
        said = "\n".join((ran.stdout + ran.stderr).splitlines()[-20:])
        raise HostTrouble(f"{' '.join(words)}: exit {ran.returncode}\n{said}")
    return ran.stdout


def eventually(done: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until it is so. The limit only ends what will never be."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise HostTrouble(f"after {seconds:.0f} s still not so: {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all test runs of this host. The file stays, as another may wait on it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Process:
    """A process that is never taken for another one with the same number."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _started(pid))

    @property
    def alive(self) -> bool:
        """A zombie is dead: in a container nobody may collect it."""
        return bool(self.started) and _started(self.pid) == self.started

    def kill(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _started(pid: int) -> str:
    """When it was started and in which boot of the host, or "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    if fields[0] in "ZX":
        return ""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"


def is_attached(image: Path) -> bool:
    """Whether some loop device still holds the image."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if backing.read_text().rstrip("\n").removesuffix(" (deleted)") == str(image):
                return True
    return False


def empty_disk(image: Path, size: str) -> None:
    """A new ext4 file system in a sparse file."""
    with image.open("xb"):
        pass
    must(["truncate", "-s", size, image])
    must(["mkfs.ext4", "-q", "-F", "-m", "1", "-E", "nodiscard", image])
