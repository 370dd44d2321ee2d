"""The service: a systemd unit of Hostel's that runs now and at every boot.

Starts it and waits until it is ready, stops it without waiting for what is in flight. What is
in its files is not its matter: they are there before, and systemd is told to read them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.log_files import open_log
from hostel.log_join import readable
from hostel.machine import Machine, Ran
from hostel.plan import Change, Key, State, key, name_of
from hostel.processes import wait
from hostel.systemctl import Systemctl, UnitStatus

OURS = "hostel-*"
"""The units of which one question tells all."""

STEADY_SECONDS = 1.5
"""A process that cannot say when it is ready must have stayed alive for so long."""

ENDING_SECONDS = 60.0
"""systemd begins to stop a unit as soon as it has taken the order; only a hung one takes longer."""

UNDO_SECONDS = 10.0
"""What is undone has served nobody, or for a moment: a request that hangs in it is not awaited."""

LINES_SHOWN = 40
MOST_READ = 64_000
"""Bytes at the end of a log that are looked at."""

_MARK = re.compile(r" \[([0-9a-f]+)\]$")


@dataclass(frozen=True, kw_only=True)
class ServiceState(State):
    """A unit that runs, or is enabled, or both.

    `mark` is what stands in brackets at the end of its description: a digest of its files in the
    form in which systemd has read them. Units whose files never change have none.
    """

    enabled: bool = True
    running: bool = True
    mark: str = ""


def service_key(unit: str) -> Key:
    return key("service", unit)


class Services:
    """The services of a machine; `error_log` says where a unit's processes write their errors,
    if that is not the journal. What systemd said of all units is kept, and asked anew of each one
    that is changed here."""

    def __init__(self, error_log: Callable[[str], Path | None] = lambda _: None) -> None:
        self.error_log = error_log
        self._seen: dict[str, UnitStatus] | None = None
        self._changed: set[str] = set()

    def observe(self, which: Key, machine: Machine) -> ServiceState | None:
        name, units = name_of(which), self._units(machine)
        if name in self._changed:
            # Of hundreds it would take longer than the change itself.
            units[name] = Systemctl(machine).unit(name)
            self._changed.remove(name)
        return state_of(units.get(name))

    def draining(self, machine: Machine) -> frozenset[str]:
        """The units that are ending: what is in flight there still needs all that is theirs."""
        if self._changed:
            self.forget()
        units = self._units(machine).values()
        return frozenset(unit.name for unit in units if not (unit.is_up or unit.is_over))

    def _units(self, machine: Machine) -> dict[str, UnitStatus]:
        if self._seen is None:
            self._seen = Systemctl(machine).show(OURS)
            self._changed.clear()
        return self._seen

    def forget(self) -> None:
        """Ask systemd anew the next time."""
        self._seen = None

    def enact(self, change: Change, machine: Machine) -> None:
        name, systemd = name_of(change.key), Systemctl(machine)
        try:
            if isinstance(change.after, ServiceState) and change.after.running:
                self._run(name, change.after, systemd)
            else:
                self._end(name, systemd)
        finally:
            self._changed.add(name)

    def await_end(self, which: Key, machine: Machine) -> None:
        """Wait until it has drained, but not for ever: its user and files are there for as long."""
        name, systemd = name_of(which), Systemctl(machine)
        if wait(lambda: systemd.unit(name).is_over, UNDO_SECONDS, 0.1):
            return
        systemd.kill(name)
        if not wait(lambda: systemd.unit(name).is_over, ENDING_SECONDS, 0.1):
            raise _refused("stopping", name, "its processes do not end")

    # -- starting -----------------------------------------------------------------------------

    def _run(self, name: str, wanted: ServiceState, systemd: Systemctl) -> None:
        before = systemd.unit(name)
        systemd.daemon_reload()
        if wanted.enabled:
            systemd.enable(name)
        else:
            systemd.disable(name)
        systemd.reset_failed(name)
        # A timer takes its new times with the reload; a process has to be made anew for new files.
        stale = before.is_up and mark_in(before) != wanted.mark and not name.endswith(".timer")
        log = _End.of(self.error_log(name))
        ran = systemd.restart(name) if stale else systemd.start(name)
        if not ran.ok:
            raise self._given_up(name, systemd, ran, log)

    def all_stay(self, names: Collection[str], machine: Machine) -> None:
        """Watch for a moment that what was started just now, and cannot say when it is ready, does
        not end at once. Raises HostelError for the first that does, which is then not tried again.
        """
        systemd, end = Systemctl(machine), time.monotonic() + STEADY_SECONDS
        while names and time.monotonic() < end:
            time.sleep(0.1)
            for name, unit in systemd.show(*names).items():
                if unit.active != "active" or unit.restarts:
                    raise self._given_up(name, systemd)

    def _given_up(
        self, name: str, systemd: Systemctl, ran: Ran | None = None, log: _End | None = None
    ) -> HostelError:
        """What became of a unit that does not start; it is ended for good."""
        unit = systemd.unit(name)
        # First ended for good, then explained: it would begin anew every few seconds.
        systemd.disable(name)
        systemd.stop(name, wait=True)
        systemd.reset_failed(name)
        lines = systemd.journal(unit, LINES_SHOWN)
        lines += log.since(self.error_log(name)) if log else []
        if unit.load != "loaded" and ran:
            lines = ran.tail.splitlines()
        self._changed.add(name)
        return HostelError(
            f"starting {name}",
            reason(unit),
            "" if lines else f"See: journalctl -u {name}",
            "\n".join(lines[-LINES_SHOWN:]),
        )

    # -- stopping -----------------------------------------------------------------------------

    def _end(self, name: str, systemd: Systemctl) -> None:
        disabled = systemd.disable(name)
        is_timer = name.endswith(".timer")
        stopped = systemd.stop(name, wait=is_timer)
        if not wait(lambda: not systemd.unit(name).is_up, ENDING_SECONDS):
            raise _refused("stopping", name, stopped.tail)
        systemd.reset_failed(name)
        if systemd.unit(name).is_enabled:
            # As it remembers it from when it was asked last; it does not look again by itself.
            systemd.daemon_reload()
        if systemd.unit(name).is_enabled:
            raise _refused("disabling", name, disabled.tail)
        if is_timer:
            # Else a job of this name that comes back would at once make up for its absence.
            systemd.forget_last_run(name)


def state_of(unit: UnitStatus | None) -> ServiceState | None:
    """What a unit amounts to; one that is ending, or has ended and stays so, is nothing."""
    if unit is None or not (unit.is_up or unit.is_enabled):
        return None
    return ServiceState(enabled=unit.is_enabled, running=unit.is_up, mark=mark_in(unit))


def mark_in(unit: UnitStatus) -> str:
    found = _MARK.search(unit.description)
    return found[1] if found else ""


def reason(unit: UnitStatus) -> str:
    """Why a start failed, in one line: what the app's process said, and how systemd saw it end."""
    ended = {
        "timeout": "it was not ready in time",
        "oom-kill": "it needed more memory than it may have",
        "exit-code": f"it ended with exit code {unit.main_status}",
        "signal": f"it was ended by signal {unit.main_status}",
        "core-dump": f"it crashed with signal {unit.main_status}",
        "protocol": "it ended before the app was loaded",
        "resources": "systemd could not make what it needs",
    }.get(unit.result, f"systemd says {unit.result}")
    if unit.load != "loaded":
        ended = "there is no such unit" if unit.load == "not-found" else "its unit file is bad"
    elif unit.result == "success":
        ended = "it ended at once"
    elif unit.result == "exit-code" and unit.main_status in _SYSTEMDS_CODES:
        ended = f"systemd could not start it: {_SYSTEMDS_CODES[unit.main_status]}"
    return f"{unit.status} ({ended})" if unit.status else ended


_SYSTEMDS_CODES = {
    "200": "its folder cannot be entered",
    "203": "its program cannot be run",
    "216": "its group does not exist",
    "217": "its user does not exist",
    "226": "a folder in which it may write does not exist, or its mounts cannot be made",
    "228": "its filter of system calls cannot be set",
    "233": "its run folder cannot be made",
}
"""Exit codes with which systemd's own child ends before there is a program, for a person."""


def _refused(doing: str, name: str, said: str) -> HostelError:
    last = said.splitlines()[-1:] or ["it does not obey"]
    return HostelError(f"{doing} {name}", last[0], f"See: systemctl status {name}", said)


@dataclass(frozen=True)
class _End:
    """Where a log ended at some moment: what was written since is what a new process wrote."""

    path: Path | None
    size: int

    @classmethod
    def of(cls, path: Path | None) -> _End:
        return cls(path, path.stat().st_size if path and path.exists() else 0)

    def since(self, path: Path | None) -> list[str]:
        """The new lines for people; of the whole file, if the log has gone on in another."""
        # The folder is the app's: what it put there instead of a log is not read.
        opened = open_log(path) if path else None
        if path is None or opened is None:
            return []
        with opened as file:
            size = file.seek(0, os.SEEK_END)
            begin = self.size if path == self.path and size >= self.size else 0
            file.seek(max(begin, size - MOST_READ))
            text = file.read().decode(errors="replace")
        # The unit has ended: what lives is another instance, which writes into the same log.
        return readable(text, _lives)


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()
