"""Run inside a machine by Hostel's own Python: `hostel` in process, ended at a chosen moment.

Reads one line of JSON for each run wanted and answers with one. Each run is a fork, so that what
is Hostel's is loaded once. Between any two steps of a run lies a point; at the chosen one the run
gets a signal: SIGKILL, or one that can be caught. Standard library and Hostel only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cryptography.x509  # noqa: F401  loaded here, not in each run
import pydantic  # noqa: F401

from hostel import cli, ledger, owned_world
from hostel.cli import apply, env, plan, remove, rollback  # noqa: F401
from hostel.journal import Journal
from hostel.router import Router
from hostel.server import deploy, removal  # noqa: F401

TREES = ("/etc/hostel", "/srv/hostel", "/var/lib/hostel", "/etc/tmpfiles.d", "/run/hostel")
UNITS = "/etc/systemd/system"
LOGS = "/var/log/hostel"
SHARED = ("/var/lib/hostel/cache", "/var/lib/hostel/ca", "/run/hostel/lock", "/run/hostel/router")
"""Made once for all sites, and no part of any run's changes."""


class Points:
    """Counts the points that a run passes, and sends the signal at the chosen one.

    `part` says which are counted: those of the run's own changes, or those of mending what an
    earlier run left.
    """

    def __init__(self, wanted: dict[str, Any], told: int) -> None:
        self.at: int | None = wanted.get("at")
        self.signal = signal.Signals(wanted.get("signal", signal.SIGKILL))
        self.part = wanted.get("part", "run")
        self.told = told
        self.now = "run"
        self.count = 0

    def __call__(self, name: str) -> None:
        if self.now != self.part:
            return
        self.tell("point", name)
        if self.count == self.at:
            os.kill(os.getpid(), self.signal)
        self.count += 1

    def tell(self, kind: str, what: object) -> None:
        os.write(self.told, json.dumps([kind, what]).encode() + b"\n")


def around(points: Points, owner: type, name: str, what: str, fine: bool) -> None:
    """Put a point before the method and one after it."""
    real = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **how: Any) -> Any:
        subject = getattr(args[0], "key", "") if args else ""
        if fine or what == "enact":
            points(f"before {what} {subject}".strip())
        value = real(self, *args, **how)
        points(f"after {what} {subject}".strip())
        return value

    setattr(owner, name, wrapped)


def watch_mending(points: Points, snapshots: bool) -> None:
    real = deploy.mend

    def wrapped(host: Any) -> int:
        points.now = "mend"
        count = real(host)
        points.now = "run"
        points.tell("mended", count)
        if snapshots:
            points.tell("snapshot", snapshot())
        return count

    deploy.mend = wrapped


def run(wanted: dict[str, Any]) -> dict[str, Any]:
    """One run of the command line in a process of its own, from its start to its end."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.close(reading)
            os.setsid()
            for number, file in ((1, out), (2, err)):
                os.dup2(file.fileno(), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _in_child(wanted, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            said = [json.loads(line) for line in told if line.endswith("\n")]
        _, status = os.waitpid(child, 0)
        texts = {}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            texts[name] = file.read().decode(errors="replace")
    answer = {"code": os.waitstatus_to_exitcode(status), "points": [], **texts}
    for kind, what in said:
        if kind == "point":
            answer["points"].append(what)
        else:
            answer[kind] = what
    return answer


def _in_child(wanted: dict[str, Any], told: int) -> None:
    os.set_inheritable(told, False)
    points = Points(wanted, told)
    fine = bool(wanted.get("fine"))
    around(points, owned_world.OwnedWorld, "enact", "enact", fine)
    around(points, Journal, "verified", "verified", fine)
    around(points, Journal, "end", "end", fine)
    if fine:
        around(points, Journal, "begun", "begun", fine)
        around(points, ledger.Ledger, "_write", "ledger", fine)
    watch_mending(points, bool(wanted.get("snapshots")))
    sys.argv = ["hostel", *wanted["argv"]]
    try:
        cli.main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(99)


# --- what there is ---------------------------------------------------------------------------


def snapshot() -> dict[str, str]:
    """All that Hostel could have made here: files, users, units, what the router has loaded."""
    found: dict[str, str] = {}
    for tree in (*TREES, UNITS, LOGS):
        for folder, folders, files in os.walk(tree):
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                _add(found, path)
            for name in folders:
                if os.path.islink(os.path.join(folder, name)):
                    _add(found, os.path.join(folder, name))
    for name in ("passwd", "group"):
        for line in Path("/etc", name).read_text().splitlines():
            if line.startswith("hostel-"):
                found[f"{name} {line.split(':')[0]}"] = ""
    found.update(_units())
    running = Router(Path("/run/hostel/router.sock")).running()
    for name, address in (running.addresses if running else {}).items():
        found[f"router {name}"] = address
    return found


def _add(found: dict[str, str], path: str) -> None:
    ours = path.startswith(UNITS) and "hostel" not in path
    if ours or path.startswith(SHARED):
        return
    with contextlib.suppress(FileNotFoundError):
        info = os.lstat(path)
        kind = f"{stat.filemode(info.st_mode)} {_owner(info)}"
        if stat.S_ISLNK(info.st_mode):
            found[path] = f"{kind} -> {os.readlink(path)}"
        elif stat.S_ISREG(info.st_mode) and not path.startswith(LOGS):
            found[path] = f"{kind} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]}"
        else:
            found[path] = kind


def _owner(info: os.stat_result) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(info.st_uid).pw_name
    return str(info.st_uid)


def _units() -> dict[str, str]:
    """Those that are enabled, and those that are not at rest."""
    ask = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "hostel-*"]
    lines = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for line in lines:
        name, _load, active, *_ = line.split()
        if active != "inactive":
            found[f"unit {name}"] = active
    return found


def main() -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        answer = snapshot() if wanted.get("snapshot") else run(wanted)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
