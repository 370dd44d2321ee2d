"""Run inside a machine by Hostel's own Python: `hostel` in process, ended at a chosen moment.

Reads one line of JSON for each run wanted and answers with one. Each run is a fork, so that what
is Hostel's is loaded once. Before and after each step of a run lies a point; at the chosen one the
run gets a signal, SIGKILL or one that can be caught, or something is done to the machine. Can also
say all that there is (`snapshot`) and what should not be there (`troubles`).

Standard library and Hostel only. `crashing.Runs` is its other end.
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

from hostel import cli
from hostel.apply import World
from hostel.cli import apply, env, plan, remove, rollback  # noqa: F401
from hostel.journal import Journal
from hostel.owned_world import OwnedWorld
from hostel.router import Router
from hostel.server import deploy, removal  # noqa: F401

TREES = ("/etc/hostel", "/srv/hostel", "/var/lib/hostel", "/etc/tmpfiles.d", "/run/hostel")
UNITS = "/etc/systemd/system"
LOGS = "/var/log/hostel"
SHARED = ("/var/lib/hostel/cache", "/var/lib/hostel/ca", "/run/hostel/lock", "/run/hostel/router")
"""Made once for all sites, and no part of any run's changes."""


class Points:
    """Counts the points that a run passes; at the chosen one it ends the run, or does `act`.

    Counted are those that `match`, in one or more `part`s: the mending of what an earlier run left,
    the run's changes until they are verified, and its clearing away after that.
    """

    def __init__(self, wanted: dict[str, Any], told: int) -> None:
        self.at: int | None = wanted.get("at")
        self.signal = signal.Signals(wanted.get("signal", signal.SIGKILL))
        self.act: list[str] | None = wanted.get("act")
        self.parts = wanted.get("part", "run").split("+")
        self.match = wanted.get("match", "")
        self.told = told
        self.now = "run"
        self.count = 0

    def __call__(self, name: str) -> None:
        if self.now not in self.parts or self.match not in name:
            return
        self.tell("point", name)
        if self.count == self.at:
            if self.act:
                subprocess.run(self.act, check=True, stdin=subprocess.DEVNULL)
            else:
                os.kill(os.getpid(), self.signal)
        self.count += 1

    def tell(self, kind: str, what: object) -> None:
        os.write(self.told, json.dumps([kind, what]).encode() + b"\n")


def around(points: Points, owner: type, name: str, what: str, before: bool = True) -> None:
    """Put a point before the method, and one after it."""
    real = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **how: Any) -> Any:
        subject = getattr(args[0], "key", "") if args else ""
        if before:
            points(f"before {what} {subject}".strip())
        value = real(self, *args, **how)
        points(f"after {what} {subject}".strip())
        return value

    setattr(owner, name, wrapped)


def wrap(points: Points, *, fine: bool, snapshots: bool) -> None:
    """Put points before and after each change. The fine ones lie within one as well: when the
    journal knows of it, when the ledger does too, and when it is made but not yet settled there.
    """
    if fine:
        around(points, Journal, "begun", "begun", before=False)
        around(points, World, "enact", "making")
    else:
        around(points, OwnedWorld, "enact", "enact")
    follow(points, Journal, "verified", "run", "clear")
    around(points, Journal, "verified", "verified")
    around(points, Journal, "end", "end", before=False)
    follow(points, Journal, "end", "clear", "run")
    real = deploy.mend

    def mend(host: Any) -> Any:
        points.now = "mend"
        mended = real(host)
        points.now = "run"
        if snapshots:
            points.tell("snapshot", snapshot())
        return mended

    deploy.mend = mend


def follow(points: Points, owner: type, name: str, former: str, part: str) -> None:
    """After this method, the run is in that part."""
    real = getattr(owner, name)

    def wrapped(self: Any, *args: Any) -> None:
        real(self, *args)
        if points.now == former:
            points.now = part

    setattr(owner, name, wrapped)


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
    wrap(points, fine=bool(wanted.get("fine")), snapshots=bool(wanted.get("snapshots")))
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
        for path in (Path(tree), *Path(tree).rglob("*")):
            _add(found, path)
    for name in ("passwd", "group"):
        for line in Path("/etc", name).read_text().splitlines():
            if line.startswith("hostel-"):
                found[f"{name} {line.split(':')[0]}"] = ""
    found.update(_units())
    running = Router(Path("/run/hostel/router.sock")).running()
    for name, address in (running.addresses if running else {}).items():
        found[f"router {name}"] = address
    return found


def _add(found: dict[str, str], path: Path) -> None:
    name = str(path)
    others = name.startswith(UNITS) and "hostel" not in name
    # What an instance writes into its run folder is its own.
    own = len(path.parts) > 4 and name.startswith("/run/hostel/")
    # A cache of the project's digests, which planning writes; and logs.
    own = own or path.name == "index.json" or name.endswith(".log")
    if others or own or name.startswith(SHARED):
        return
    with contextlib.suppress(FileNotFoundError):
        info = path.lstat()
        kind = f"{stat.filemode(info.st_mode)} {_owner(info)}"
        if stat.S_ISLNK(info.st_mode):
            kind += f" -> {path.readlink()}"
        elif stat.S_ISREG(info.st_mode):
            kind += f" {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        found[name] = kind


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


def troubles() -> list[str]:
    """What must not be left when no run is under way."""
    var = Path("/var/lib/hostel")
    found = [f"there is {path}" for path in (var / "journal",) if path.exists()]
    for tree in (*TREES, UNITS):
        found += [f"half-written: {path}" for path in Path(tree).rglob(".hostel-*") if _ours(path)]
    made = json.loads((var / "ledger.json").read_text())["made"]
    found += [f"in the ledger, but gone: {which}" for which in made if not _exists(which)]
    ask = ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]
    failed = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    found += [f"failed: {line}" for line in failed.splitlines()]
    running = [name for name in _units() if "hostel-instance@" in name]
    live = set()
    for record in (var / "sites").glob("*/site.json"):
        said = json.loads(record.read_text())
        live.add(f"unit hostel-instance@{said['name']}-{said['number']}.service")
    found += [f"runs: {name}" for name in running if name not in live]
    found += [f"does not run: {name}" for name in live if name not in running]
    return found


def _ours(path: Path) -> bool:
    """.hostel-complete says that a venv is whole."""
    return "venvs" not in path.parts


def _exists(which: str) -> bool:
    kind, _, name = which.partition(":")
    if kind in ("file", "folder", "certificate"):
        return os.path.lexists(name)
    if kind == "user":
        return f"\n{name}:" in Path("/etc/passwd").read_text()
    if kind == "release":
        site, _, release = name.partition("/")
        return Path("/srv/hostel", site, "releases", release, "release.json").exists()
    if kind == "route":
        return f'"{name}"' in Path("/etc/hostel/router/routes.json").read_text()
    if kind == "service":
        ask = ["systemctl", "is-enabled", "--quiet", name]
        return subprocess.run(ask, check=False).returncode == 0
    return kind in ("router", "package")


def main() -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted.get("say"):
            answer = {"snapshot": snapshot, "troubles": troubles}[wanted["say"]]()
        else:
            answer = run(wanted)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
