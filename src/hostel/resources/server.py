"""The server: one PostgreSQL postmaster on the cluster of a site.

Starts it when it truly accepts connections, restarts it for new settings, stops it with all its
backends. What the settings say and what is in the databases is not its matter.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostel import postmaster
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.postgres import Postgres, environment
from hostel.postgres_admin import connect
from hostel.postgres_conf import SOCKET
from hostel.postmaster import Postmaster
from hostel.processes import wait
from hostel.rundir import private_folder

STARTING = "starting PostgreSQL"
SETTINGS = "hostel.settings"
"""A parameter of our own on the command line: what is running says itself what it has loaded."""

START_SECONDS = 300.0
"""Recovery after a crash replays what was written since the last checkpoint."""

RETRY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ServerState(State):
    """A running server and the digest of the settings it has loaded."""

    settings: str
    running: bool = True


def server_key(data: Path) -> Key:
    return key("postgres", data)


class Servers:
    """The one server of a site. `find` is asked for PostgreSQL only when it must be started."""

    def __init__(self, find: Callable[[], Postgres], socket_dir: Path, log: Path) -> None:
        self.find = find
        self.socket_dir = socket_dir
        self.log = log
        # Kept, so that a server we started and stopped does not stay a zombie until we end.
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def observe(self, which: Key, machine: Machine) -> ServerState | None:
        living = postmaster.living(Path(name_of(which)), machine)
        if living is None:
            return None
        # Without its socket (something cleans up /tmp) nobody can reach it: not as wanted.
        reachable = (self.socket_dir / SOCKET).exists()
        return ServerState(settings=living.parameter(SETTINGS) if reachable else "")

    def enact(self, change: Change, machine: Machine) -> None:
        data = Path(name_of(change.key))
        if isinstance(change.after, ServerState):
            if self.observe(change.key, machine) == change.after:
                return
            self._stop(data, machine)
            self._start(data, change.after.settings, machine)
        else:
            self._stop(data, machine)

    @contextlib.contextmanager
    def awake(self, data: Path, machine: Machine) -> Iterator[None]:
        """Have the server up for a moment, as it is: to undo what a killed run did in it."""
        if postmaster.living(data, machine) is not None:
            yield
            return
        self._start(data, "", machine)
        try:
            yield
        finally:
            self._stop(data, machine)

    # -- starting -----------------------------------------------------------------------------

    def _start(self, data: Path, settings: str, machine: Machine) -> None:
        postgres = self.find()
        private_folder(self.socket_dir, machine)
        postmaster.make_way(data, self.socket_dir, machine)
        argv = [postgres.program("postgres"), "-D", str(data), "-c", f"{SETTINGS}={settings}"]
        refused = ""

        def started() -> bool:
            nonlocal refused
            refused = self._attempt(argv, data, machine)
            return "pre-existing shared memory block" not in refused

        # Backends of a killed server hold its memory until they notice; so do ones we cannot see.
        wait(started, RETRY_SECONDS, 0.2)
        if refused:
            raise _refusal(refused, postmaster.orphans(data, machine))

    def _attempt(self, argv: list[str], data: Path, machine: Machine) -> str:
        """Start it once; returns what it wrote when it ended instead, empty when it is up."""
        began = self.log.stat().st_size if self.log.exists() else 0
        child = machine.spawn(argv, env=environment(), cwd=data, log=self.log, as_runner=True)
        self._children[child.pid] = child
        try:
            settled = wait(
                lambda: child.poll() is not None or postmaster.ready(data, child.pid, machine),
                START_SECONDS,
            )
            if child.poll() is None and settled:
                with connect(self.socket_dir, STARTING):
                    return ""
        except BaseException:
            self._end(Postmaster.of(child.pid), machine)
            raise
        if not settled:
            self._end(Postmaster.of(child.pid), machine)
            return f"FATAL:  it accepted no connection within {START_SECONDS:.0f} s"
        with self.log.open("rb") as log:
            log.seek(began)
            return log.read(100_000).decode(errors="replace") or f"ended with {child.returncode}"

    # -- stopping -----------------------------------------------------------------------------

    def _stop(self, data: Path, machine: Machine) -> None:
        living = postmaster.living(data, machine)
        if living is not None:
            self._end(living, machine)
        left = postmaster.end_orphans(data, machine)
        if left:
            raise HostelError(
                "stopping PostgreSQL",
                f"processes of it do not end: {_pids(left)}",
                f"See what holds them up, then end them: kill {' '.join(map(str, left))}",
            )

    def _end(self, living: Postmaster | None, machine: Machine) -> None:
        """Fast shutdown; an immediate one, which loses no committed data either, if that hangs."""

        def gone() -> bool:
            child = self._children.get(living.pid) if living else None
            if child is not None:
                child.poll()
            return living is None or not living.alive()

        for number, patience in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0)):
            if living is None or gone():
                break
            machine.signal(living.pid, number)
            if wait(gone, patience):
                break
        if not gone() and living is not None:
            raise HostelError(
                "stopping PostgreSQL",
                f"its postmaster, pid {living.pid}, does not end",
                "Its disk may hang: see the site's PostgreSQL log.",
            )


def _refusal(said: str, holders: list[int]) -> HostelError:
    """What a server that did not start wrote, the decisive line first."""
    lines = said.strip().splitlines()
    fatal = re.search(r"(?:FATAL|PANIC):\s+(.*)", said)
    happened = fatal[1] if fatal else lines[-1]
    hint = re.findall(r"HINT:\s+(.*)", said)
    remedy = hint[-1] if hint else "The lines above are PostgreSQL's own."
    for sign, better in _REMEDIES.items():
        if sign in said:
            remedy = better
    if "pre-existing shared memory block" in said and holders:
        happened += f" by {_pids(holders)}"
        remedy = f"They are left from a killed server; end them: kill {' '.join(map(str, holders))}"
    return HostelError(STARTING, happened, remedy, "\n".join(lines[-12:]))


def _pids(pids: list[int]) -> str:
    return f"pid {', '.join(map(str, pids))}"


_REMEDIES = {
    "No space left on device": "Free some space on that disk, then run the same command again.",
    "has invalid permissions": "Give it back to its owner alone: chmod 0700 that folder.",
    "has wrong ownership": "Run hostel as the user that made this site's database, or as root.",
    "is not compatible with this version": "Install the version of PostgreSQL that made the data.",
    "Cannot allocate memory": "The machine is short of memory: stop something, then try again.",
}
