"""systemctl, with types: what systemd says of its units, and the few things asked of it.

Decides nothing. Whoever calls it says what failed in words of the site; errors here are those of
systemd itself being out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hostel.errors import HostelError
from hostel.machine import Machine, Ran

PROPERTIES = (
    "Id",
    "Type",
    "Description",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "StatusText",
    "ExecMainCode",
    "ExecMainStatus",
    "InvocationID",
    "NRestarts",
)
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}

START_PATIENCE = 3700.0
"""Seconds; a unit's own limit ends its start long before."""


@dataclass(frozen=True)
class UnitStatus:
    """One unit as systemd sees it now, in systemd's own words."""

    name: str
    type: str
    description: str
    load: str
    active: str
    sub: str
    file: str
    result: str
    status: str
    main_code: str
    main_status: str
    invocation: str
    restarts: int

    @property
    def is_up(self) -> bool:
        """Whether it runs or is on its way there, be it for the next time after a failure."""
        return self.active in ("active", "activating", "reloading")

    @property
    def is_over(self) -> bool:
        """Whether no process of it is left that systemd still looks after."""
        return self.active in ("inactive", "failed")

    @property
    def is_enabled(self) -> bool:
        """Whether it is started with the machine."""
        return self.file == "enabled"


class Systemctl:
    """The systemd that runs this machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def show(self, *patterns: str) -> dict[str, UnitStatus]:
        """The units that systemd has in memory, by name; one named in full is there in any case."""
        # With --all also those that do not run: they may be enabled.
        argv = ["show", "--all", f"--property={','.join(PROPERTIES)}", "--", *patterns]
        ran = self._told("asking systemd about its units", argv)
        return {unit.name: unit for unit in parse(ran.out)}

    def main_pid(self, unit: str) -> int | None:
        """The unit's first process; None when it has none."""
        said = self._ask(["show", "--property=MainPID", "--value", "--", unit]).out.strip()
        return int(said) if said.isdecimal() and said != "0" else None

    def unit(self, name: str) -> UnitStatus:
        """One unit, by its full name; also one that there is not says so itself."""
        found = self.show(name)
        if name not in found:
            raise HostelError(f"asking systemd about {name}", "it knows no unit of that name")
        return found[name]

    def daemon_reload(self) -> None:
        self._told("having systemd read its units again", ["daemon-reload"])

    def enable(self, unit: str) -> None:
        self._told(f"enabling {unit}", ["enable", "--quiet", "--no-reload", "--", unit])

    def disable(self, unit: str) -> Ran:
        """Not to be started with the machine; the answer says whether there was such a unit."""
        # With a reload: until then systemd takes a unit in its memory for enabled.
        return self._ask(["disable", "--quiet", "--", unit])

    def reset_failed(self, unit: str) -> Ran:
        """Forget earlier failures; a unit that never failed is no error worth telling."""
        return self._ask(["reset-failed", "--", unit])

    def start(self, unit: str) -> Ran:
        """Start it and wait until it is ready, or has failed."""
        return self._ask(["start", "--", unit], START_PATIENCE)

    def restart(self, unit: str) -> Ran:
        return self._ask(["restart", "--", unit], START_PATIENCE)

    def reload(self, unit: str) -> None:
        self._told(f"reloading {unit}", ["reload", "--", unit])

    def stop(self, unit: str, *, wait: bool) -> Ran:
        """Stop it. Without `wait` systemd goes on with it alone, however long it takes."""
        return self._ask(["stop", *([] if wait else ["--no-block"]), "--", unit], START_PATIENCE)

    def kill(self, unit: str) -> Ran:
        """End all its processes at once, what stops them included."""
        return self._ask(["kill", "--kill-whom=all", "--signal=SIGKILL", "--", unit])

    def forget_last_run(self, timer: str) -> Ran:
        """Remove a timer's memory of its last run; the timer must be stopped."""
        return self._ask(["clean", "--what=state", "--", timer])

    def journal(self, unit: UnitStatus, lines: int) -> list[str]:
        """The last lines that the processes of its latest start wrote; none without a journal."""
        if not unit.invocation:
            return []
        argv = ["journalctl", f"_SYSTEMD_INVOCATION_ID={unit.invocation}", f"--lines={lines}"]
        argv += ["--output=cat", "--no-pager", "--quiet"]
        ran = self.machine.run(argv, env=ENVIRONMENT, timeout=60)
        return ran.out.strip().splitlines() if ran.ok else []

    def _told(self, doing: str, argv: list[str]) -> Ran:
        ran = self._ask(argv)
        if not ran.ok:
            said = ran.tail.splitlines() or [f"systemctl ended with {ran.code}"]
            raise HostelError(
                doing, said[-1], "Try again; `systemctl status` shows more.", ran.tail
            )
        return ran

    def _ask(self, argv: list[str], timeout: float = 300) -> Ran:
        whole = ["systemctl", "--no-pager", "--no-ask-password", *argv]
        ran = self.machine.run(whole, env=ENVIRONMENT, timeout=timeout)
        if ran.code == 127 or _is_away(ran.err):
            raise HostelError(
                "asking systemd",
                "this machine is not run by systemd, or it cannot be reached",
                "Hosting on a server needs Debian or Ubuntu booted with systemd; "
                "elsewhere use `hostel up`.",
                ran.tail,
            )
        return ran


def _is_away(said: str) -> bool:
    return "not been booted with systemd" in said or "Failed to connect to bus" in said


def parse(text: str) -> Iterator[UnitStatus]:
    """The answer of `systemctl show`: NAME=VALUE lines, an empty line between two units."""
    for block in text.split("\n\n"):
        lines = [line.partition("=") for line in block.splitlines()]
        values = {name: value for name, equals, value in lines if equals}
        if values.get("Id"):
            yield _unit(values)


def _unit(values: Mapping[str, str]) -> UnitStatus:
    def said(name: str) -> str:
        return values.get(name, "")

    return UnitStatus(
        name=said("Id"),
        type=said("Type"),
        description=said("Description"),
        load=said("LoadState"),
        active=said("ActiveState"),
        sub=said("SubState"),
        file=said("UnitFileState"),
        result=said("Result"),
        status=said("StatusText"),
        main_code=said("ExecMainCode"),
        main_status=said("ExecMainStatus"),
        invocation=said("InvocationID"),
        restarts=int(said("NRestarts") or 0),
    )
