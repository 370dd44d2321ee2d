"""Cgroups of a machine's own, on cgroup v1 and v2, whatever container the tests run in."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .host import Process, eventually

LIMITS = frozenset(("cpu", "io", "memory", "pids"))
ASIDE = "hostel-host"
"""On v2: where this container's own processes go, as a group with members can have no limits."""


@dataclass(frozen=True)
class Hierarchy:
    top: Path
    root: str
    """What of a process's path lies above the mount, in a container without a cgroup namespace."""
    v2: bool
    controllers: frozenset[str]


def hierarchies() -> list[Hierarchy]:
    """Those mounted below /sys/fs/cgroup. cpuset is left out: its groups want cpus set by hand."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, where = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind not in ("cgroup", "cgroup2") or not where.startswith("/sys/fs/cgroup"):
            continue
        controllers = frozenset(options.split(",")) if kind == "cgroup" else frozenset()
        if "cpuset" not in controllers:
            found[where] = Hierarchy(Path(where), root, kind == "cgroup2", controllers)
    return list(found.values())


def only_v2(these: Sequence[Hierarchy]) -> bool:
    return all(each.v2 for each in these)


def of(pid: int) -> list[Path]:
    """The folders of the groups that the process is in."""
    here = hierarchies()
    return [folder for line in _lines(pid) if (folder := _folder(line, here)) is not None]


def _lines(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cgroup").read_text().splitlines()


def _folder(line: str, here: Sequence[Hierarchy]) -> Path | None:
    _, named, path = line.split(":", 2)
    for each in here:
        if each.v2 != (not named) or (named and not set(named.split(",")) <= each.controllers):
            continue
        if each.root != "/" and (path == each.root or path.startswith(f"{each.root}/")):
            path = path[len(each.root) :]
        folder = each.top / path.lstrip("/")
        return folder if folder.is_dir() else None
    return None


def make(name: str) -> list[Path]:
    """New groups, one in each hierarchy, that can hold limits.

    On v1 they lie below those of this process. On v2 such a group could have no limits as long as
    there are processes in it, so they lie at the top.
    """
    here = hierarchies()
    if only_v2(here):
        top = here[0].top
        _delegate(top)
        made = [top / name]
    else:
        made = [folder / name for folder in of(os.getpid())]
    for folder in made:
        folder.mkdir(exist_ok=True)
    return made


def _delegate(top: Path) -> None:
    """Let groups below the top have limits, as systemd does on a host that it runs."""
    wanted = LIMITS & set((top / "cgroup.controllers").read_text().split())
    lacking = wanted - set((top / "cgroup.subtree_control").read_text().split())
    if not lacking:
        return
    order = " ".join(f"+{name}" for name in sorted(lacking))
    try:
        (top / "cgroup.subtree_control").write_text(order)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # The top of a container, with processes in it.
        (top / ASIDE).mkdir(exist_ok=True)
        for pid in _members(top):
            with contextlib.suppress(OSError):
                (top / ASIDE / "cgroup.procs").write_text(str(pid))
        (top / "cgroup.subtree_control").write_text(order)


def enter(groups: Sequence[Path], pid: int) -> None:
    """On v2 into `supervisor`, a name systemd-nspawn knows: it keeps the payload beside it."""
    for group in groups:
        target = group / "supervisor" if only_v2(hierarchies()) else group
        target.mkdir(exist_ok=True)
        (target / "cgroup.procs").write_text(str(pid))


def sessions(leader: int) -> list[Path]:
    """Groups of the machine for what comes in from outside, beside those of its systemd."""
    return [Path(str(folder).removesuffix("/init.scope")) / "session" for folder in of(leader)]


def remove(groups: Sequence[Path]) -> None:
    """Kill what is in them, then remove them with all below."""

    def gone() -> bool:
        members = [Process.of(pid) for pid in _all_members(groups)]
        for process in members:
            process.kill()
        return not any(process.alive for process in members)

    eventually(gone, f"the processes in {groups} are dead")
    for group in groups:
        eventually(lambda group=group: _removed(group), f"{group} is removed")  # type: ignore[misc]


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _all_members(groups: Sequence[Path]) -> Iterator[int]:
    for group in groups:
        for folder, _, _ in os.walk(group):
            yield from _members(Path(folder))


def _members(group: Path) -> list[int]:
    try:
        return [pid for pid in map(int, (group / "cgroup.procs").read_text().split()) if pid]
    except OSError:
        return []
