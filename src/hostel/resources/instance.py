"""The instance: one httpd of one release, its children and its environment.

Starts it with the app's environment, reloads it without losing a request, ends it with all its
children. Decides neither its configuration nor whether it serves well.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostel import processes
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key
from hostel.processes import Identity
from hostel.states import InstanceState

FRUGAL = {"MALLOC_ARENA_MAX": "2"}
"""For glibc, in httpd's own environment only: with a Python lock, more heaps are only memory. The
app does not see it, since its os.environ is settled before its first import."""

GRACE_SECONDS = 30.0
"""How long requests in flight may take to end when an instance is stopped."""

MOST_SHOWN = 4000
"""Bytes at the end of a log that are looked at for the reason of a failure."""

DRAIN_SECONDS = 0.7
"""How long kept-alive connections are answered with `Connection: close` before a reload."""


@dataclass(frozen=True)
class InstancePlaces:
    """Where an instance finds and leaves its things."""

    binary: Callable[[], Path]
    conf: Path
    record: Path
    error_log: Path
    console: Path

    def drain_flag(self, generation: str) -> Path:
        """While this file exists, the generation's responses say `Connection: close`."""
        return self.conf.parent / f"drain-{generation}"


class Instances:
    """The one instance of a site on the private platform."""

    def __init__(self, places: InstancePlaces, live: Callable[[str], bool]) -> None:
        self.places = places
        self.live = live

    def observe(self, which: Key, machine: Machine) -> InstanceState | None:
        record = self._record(machine)
        if record and self._serves(_identity(record), machine):
            return InstanceState(core=record["core"], config=record["config"], boot=record["boot"])
        if any(True for _ in self._processes(machine)):
            return InstanceState(core="orphaned", config="", boot="")
        return None

    def enact(self, change: Change, machine: Machine) -> None:
        before, after = change.before, change.after
        if isinstance(after, InstanceState):
            if isinstance(before, InstanceState) and before.core == after.core:
                self._reload(before, after, machine)
                return
            self._stop(machine)
            self._start(after, machine)
        else:
            self._stop(machine)

    def _start(self, state: InstanceState, machine: Machine) -> None:
        boot = json.loads(Path(state.boot).read_bytes())
        places = self.places
        argv = [str(places.binary()), "-f", str(places.conf), "-DFOREGROUND"]
        began = places.console.stat().st_size if places.console.exists() else 0
        # As the runner, never as root: no part of an app's environment (LD_PRELOAD, say) may
        # reach a process with root's rights.
        env = {**FRUGAL, **boot["env"]}
        child = machine.spawn(
            argv, env=env, cwd=Path(boot["cwd"]), log=places.console, as_runner=True
        )
        who = processes.identity(child.pid)
        if who is None:
            raise self._refused(machine, began)
        self._note(who, state, machine)
        if not processes.wait(lambda: child.poll() is not None or self.live(state.config), 30):
            return  # Slow imports are the probe's matter, which knows the site's own patience.
        if child.poll() is not None:
            places.record.unlink(missing_ok=True)
            raise self._refused(machine, began)

    def _reload(self, before: InstanceState, state: InstanceState, machine: Machine) -> None:
        record = self._record(machine)
        who = _identity(record) if record else None
        if who is None or not self._serves(who, machine):
            self._stop(machine)
            self._start(state, machine)
            return
        tested = machine.run(
            [str(self.places.binary()), "-t", "-f", str(self.places.conf)], as_runner=True
        )
        if not tested.ok:
            raise HostelError("testing the new httpd configuration", tested.tail)
        drain = self.places.drain_flag(before.config)
        machine.write(drain, b"", 0o644)
        try:
            time.sleep(DRAIN_SECONDS)
            machine.signal(who.pid, signal.SIGUSR1)
            if not processes.wait(
                lambda: not processes.alive(who) or self.live(state.config), 60
            ) or not processes.alive(who):
                raise self._refused(machine, 0)
        finally:
            drain.unlink(missing_ok=True)
        self._note(who, state, machine)

    def _stop(self, machine: Machine) -> None:
        record = self._record(machine)
        who = _identity(record) if record else None
        if who is not None and self._serves(who, machine):
            processes.end(machine, who, signal.SIGWINCH, GRACE_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes(machine):
                machine.signal(process.pid, number)
            if processes.wait(lambda: not any(True for _ in self._processes(machine)), 5):
                break
        self.places.record.unlink(missing_ok=True)

    def _serves(self, who: Identity, machine: Machine) -> bool:
        alive = processes.alive(who)
        return alive and processes.is_ours(who, self.places.conf, machine.runner.uid)

    def _processes(self, machine: Machine) -> Any:
        return processes.httpds_of(self.places.conf, machine.runner.uid)

    def _record(self, machine: Machine) -> dict[str, Any] | None:
        text = machine.read(self.places.record)
        try:
            record = json.loads(text) if text else None
        except ValueError:
            return None
        return record if isinstance(record, dict) else None

    def _note(self, who: Identity, state: InstanceState, machine: Machine) -> None:
        record = {
            "pid": who.pid,
            "began": who.began,
            "core": state.core,
            "config": state.config,
            "boot": state.boot,
        }
        machine.write(self.places.record, json.dumps(record).encode(), 0o644)

    def _log_end(self) -> bytes:
        with contextlib.suppress(OSError), self.places.error_log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - MOST_SHOWN))
            return file.read(MOST_SHOWN)
        return b""

    def _refused(self, machine: Machine, offset: int) -> HostelError:
        console = (machine.read(self.places.console) or b"")[offset:][-MOST_SHOWN:]
        said = (console or self._log_end()).decode(errors="replace").strip().splitlines()
        return HostelError(
            "starting httpd",
            said[-1] if said else "it ended without a word",
            "The lines above are httpd's own.",
            "\n".join(said[-12:-1]),
        )


def _identity(record: dict[str, Any]) -> Identity:
    return Identity(int(record.get("pid", 0)), float(record.get("began", 0)))
