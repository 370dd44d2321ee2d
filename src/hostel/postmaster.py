"""Which processes belong to the PostgreSQL server of a data folder, however it ended before.

A pid file is never believed alone: the process must be a postgres, of the runner, at work in
that very folder. Ends only such processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostel.machine import Machine
from hostel.postgres import read_private
from hostel.postgres_conf import SOCKET
from hostel.processes import Identity, alive, identity, wait

if TYPE_CHECKING:
    import psutil

PID_FILE = "postmaster.pid"
READY_LINE = 7
"""The line of postmaster.pid, from 0, that says "ready" once connections are accepted."""


@dataclass(frozen=True)
class Postmaster:
    """A postmaster that was seen alive."""

    pid: int
    who: Identity
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> Postmaster | None:
        import psutil

        who = identity(pid)
        with contextlib.suppress(psutil.Error):
            if who is not None:
                return cls(pid, who, tuple(psutil.Process(pid).cmdline()))
        return None

    def alive(self) -> bool:
        return alive(self.who)

    def parameter(self, name: str) -> str:
        """The value that a parameter was given on the command line; empty without one."""
        start = f"{name}="
        found = [word.removeprefix(start) for word in self.arguments if word.startswith(start)]
        return found[-1] if found else ""


def living(data: Path, machine: Machine) -> Postmaster | None:
    """The postmaster at work in `data`; a zombie, or another program with its pid, is none."""
    import psutil

    pid = _first_number(read_private(data / PID_FILE, machine))
    if pid is None:
        return None
    with contextlib.suppress(psutil.Error):
        if _at_work_in(psutil.Process(pid), data, machine):
            return Postmaster.of(pid)
    return None


def ready(data: Path, pid: int, machine: Machine) -> bool:
    """Whether this postmaster says that it accepts connections."""
    lines = (read_private(data / PID_FILE, machine) or b"").splitlines()
    return (
        len(lines) > READY_LINE
        and lines[0].strip() == str(pid).encode()
        and lines[READY_LINE].strip() == b"ready"
    )


def end_making(folder: Path, machine: Machine) -> None:
    """End an initdb, and what it runs, that was left behind at work in a half-made cluster."""
    for process in _all_in(folder, machine):
        machine.signal(process.pid, signal.SIGKILL)
    wait(lambda: not orphans(folder, machine), 5, 0.02)


def orphans(data: Path, machine: Machine) -> list[int]:
    """Backends that outlived their postmaster; they still hold its shared memory."""
    return sorted(process.pid for process in _all_in(data, machine))


def end_orphans(data: Path, machine: Machine) -> list[int]:
    """Let orphaned backends notice that they are, then end them; returns those that resist.

    What they had committed is in the write-ahead log; a backend alone can do no more.
    """
    if not (data / PID_FILE).exists():
        return []  # Ended in order: nothing is left. Looking at every process takes a while.
    wait(lambda: not orphans(data, machine), 1.0, 0.05)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in orphans(data, machine):
            machine.signal(pid, number)
        if wait(lambda: not orphans(data, machine), 2.0, 0.05):
            break
    return orphans(data, machine)


def make_way(data: Path, socket_dir: Path, machine: Machine) -> None:
    """Clear what a killed server left that would keep the next one from starting.

    postgres takes any living process of its own user with the noted pid for its predecessor,
    a zombie or a person's editor after a reboot too: then the note must go. Where the pid is
    free, postgres finds that out by itself.
    """
    end_orphans(data, machine)
    door = socket_dir / f"{SOCKET}.lock"
    _end_predecessor(door, data, machine)
    for note in (data / PID_FILE, door):
        pid = _first_number(read_private(note, machine))
        if note.exists() and (pid is None or _exists(pid)) and living(data, machine) is None:
            machine.remove(note)


def _end_predecessor(door: Path, data: Path, machine: Machine) -> None:
    """End a server whose data folder was removed under it; it holds the socket for a minute."""
    import psutil

    pid = _first_number(read_private(door, machine))
    now = living(data, machine)
    if pid is None or (now is not None and now.pid == pid):
        return
    with contextlib.suppress(psutil.Error):
        if _is_postgres(psutil.Process(pid), machine):
            who = identity(pid)
            machine.signal(pid, signal.SIGQUIT)
            wait(lambda: not alive(who), 10)


def _exists(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def _all_in(data: Path, machine: Machine) -> Iterator[psutil.Process]:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _at_work_in(process, data, machine):
                yield process


def _at_work_in(process: psutil.Process, data: Path, machine: Machine) -> bool:
    """Postmaster and backends alike work in the data folder; others there are no postgres."""
    return _is_postgres(process, machine) and process.cwd() == os.path.realpath(data)


def _is_postgres(process: psutil.Process, machine: Machine) -> bool:
    import psutil

    if process.uids().effective != machine.runner.uid or process.status() == psutil.STATUS_ZOMBIE:
        return False
    words = process.cmdline()
    # A postmaster keeps its command line; its children say "postgres: what they do".
    return bool(words) and (
        words[0].startswith("postgres:")
        or Path(words[0]).name in ("postgres", "postmaster", "initdb")
    )


def _first_number(text: bytes | None) -> int | None:
    first = (text or b"").split(b"\n", 1)[0].strip()
    number = int(first) if first.isdigit() else 0
    return number if 0 < number < 2**31 else None
