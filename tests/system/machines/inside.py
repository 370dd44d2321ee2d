"""What tests do inside a machine: commands, files, units. Knows not how the machine was made."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import cgroups
from .debian import passed_on
from .host import Process
from .mirror import LEFT_OUT

ENTER = Path(__file__).with_name("enter.py")
CLEAN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class Failed(AssertionError):
    """A command inside failed, though the test counted on it."""


class Inside(ABC):
    """A machine that is on, seen from outside."""

    @property
    @abstractmethod
    def leader(self) -> Process:
        """PID 1 as the host sees it."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """As root inside, in /root, with a clean environment. With `check`, a failure is Failed."""
        ran = subprocess.run(
            self._enter(argv, env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        ran.args = list(argv)  # what the test asked, without the way in
        if check and ran.returncode:
            said = "\n".join((ran.stdout + ran.stderr).splitlines()[-30:])
            raise Failed(f"{' '.join(argv)}: exit {ran.returncode}\n{said}")
        return ran

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **how: Any
    ) -> subprocess.Popen[str]:
        """As `run`, in the background. `kill()` of it is a SIGKILL of the command itself."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **how}
        return subprocess.Popen(self._enter(argv, env), text=True, start_new_session=True, **pipes)

    def _enter(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        """All its namespaces, and cgroups of the machine. `--wd` of nsenter is the host's folder,
        so env changes it. Should nsenter be killed, the command inside is."""
        leader = self.leader.pid
        names = {**CLEAN, **passed_on(), **(env or {})}
        return [
            *(sys.executable, "-I", "-S", str(ENTER)),
            *map(str, cgroups.sessions(leader)),
            *("--", "nsenter", "-t", str(leader), "-a", "--"),
            *("setpriv", "--pdeathsig", "KILL", "env", "-i", "-C", "/root"),
            *(f"{name}={value}" for name, value in names.items()),
            *argv,
        ]

    # --- files ------------------------------------------------------------------------------

    def read(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str) -> bytes:
        return self._bytes(["cat", "--", path])

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> None:
        """A file of root's, with its folders. Not synced: what must survive a power cut is."""
        data = data.encode() if isinstance(data, str) else data
        self._bytes(["install", "-D", "-m", f"{mode:o}", "/dev/stdin", path], data)

    def put(self, local: Path, path: str) -> None:
        """A file or a folder's contents to that place, owned by root; no caches, no .venv."""
        if local.is_file():
            self.write(path, local.read_bytes(), 0o755 if local.stat().st_mode & 0o100 else 0o644)
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(local, arcname=".", filter=_as_root)
        self.run(["mkdir", "-p", path], check=True)
        self._bytes(["tar", "-C", path, "-xf", "-"], packed.getvalue())

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path]).returncode == 0

    def _bytes(self, argv: Sequence[str], data: bytes = b"") -> bytes:
        ran = subprocess.run(
            self._enter(argv), input=data, capture_output=True, check=False, timeout=300
        )
        if ran.returncode:
            raise Failed(f"{' '.join(argv)}: {ran.stderr.decode(errors='replace')}")
        return ran.stdout

    # --- units ------------------------------------------------------------------------------

    def failed(self) -> list[str]:
        """The names of the units that failed."""
        ask = ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]
        return [line.split()[0] for line in self.run(ask, check=True).stdout.splitlines() if line]

    def show(self, unit: str, key: str) -> str:
        """One property of a unit, as `systemctl show` has it."""
        return self.run(["systemctl", "show", "-P", key, unit], check=True).stdout.strip()

    def kill9(self, unit: str) -> None:
        """SIGKILL to every process of the unit."""
        self._signal(unit, "KILL")

    def freeze(self, unit: str) -> None:
        """Stop every process of the unit where it is: alive, and not answering. See `thaw`."""
        self._signal(unit, "STOP")

    def thaw(self, unit: str) -> None:
        self._signal(unit, "CONT")

    def _signal(self, unit: str, signal: str) -> None:
        self.run(["systemctl", "kill", "--kill-whom=all", "-s", signal, unit], check=True)

    def journal(self, unit: str = "", lines: int = 60) -> str:
        """The last that was logged, by all or by one unit."""
        only = ["-u", unit] if unit else []
        return self.run(["journalctl", "--no-pager", "-b", "-n", str(lines), *only]).stdout


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(member.name).name in LEFT_OUT:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
