"""The server's PostgreSQL: there, running, and started with the machine.

One that was there before is used as it is. One that Hostel made holds data, and is removed only as
the undo of having made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key
from hostel.postgres_admin import listening
from hostel.processes import wait
from hostel.system_postgres import SOCKETS, Cluster, cluster_here
from hostel.systemctl import Systemctl

NAME = "main"
PROGRAMS = Path("/usr/lib/postgresql")
START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class SystemClusterState(State):
    """A cluster that answers; `running` is False for one that is there and stopped."""

    running: bool = True


def system_cluster_key() -> Key:
    return key("pgcluster", "system")


class SystemCluster:
    """The one cluster in which sites have their databases."""

    def observe(self, which: Key, machine: Machine) -> SystemClusterState | None:
        found = cluster_here(machine)
        return None if found is None else SystemClusterState(running=found.online)

    def enact(self, change: Change, machine: Machine) -> None:
        found = cluster_here(machine)
        if change.after is None:
            if found is not None and change.before is not None:
                self._drop(found, machine)
            return
        if found is None:
            self._make(machine)
            found = cluster_here(machine)
        if found is None:
            raise HostelError("making a PostgreSQL cluster", "there is none after it was made")
        self._start(found, machine)

    def _make(self, machine: Machine) -> None:
        majors = sorted(int(one.name) for one in PROGRAMS.glob("*/") if one.name.isdecimal())
        if not majors:
            raise HostelError(
                "making a PostgreSQL cluster",
                f"there are no programs in {PROGRAMS}",
                "apt-get install postgresql",
            )
        make = ["pg_createcluster", "--locale", "C.UTF-8", "--encoding", "UTF8"]
        _run([*make, str(majors[-1]), NAME], "making a PostgreSQL cluster", machine)

    def _start(self, found: Cluster, machine: Machine) -> None:
        systemd = Systemctl(machine)
        systemd.daemon_reload()
        # The package's own unit: at boot it starts every cluster that is to be started.
        systemd.enable("postgresql.service")
        ran = systemd.start(found.unit)
        if not ran.ok or not wait(lambda: listening(SOCKETS, found.port), START_SECONDS, 0.1):
            log = f"/var/log/postgresql/postgresql-{found.major}-{found.name}.log"
            raise HostelError("starting PostgreSQL", ran.tail or "it does not answer", f"See {log}")

    def _drop(self, found: Cluster, machine: Machine) -> None:
        drop = ["pg_dropcluster", "--stop", str(found.major), found.name]
        _run(drop, "removing the PostgreSQL cluster", machine)


def _run(argv: list[str], doing: str, machine: Machine) -> None:
    ran = machine.run(argv, cwd=Path("/"))
    if not ran.ok:
        raise HostelError(doing, ran.tail or f"{argv[0]} ended with {ran.code}")
