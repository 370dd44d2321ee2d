"""Booted Debian machines for the benchmarks of servers, and what is asked of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.processes import Failed
from tests.system.machines import DebianMachine, ready, why_not

HELLO = (Path(__file__).parent / "hello" / "app.py").read_text()

SITE = """\
name = "{name}"
app = "app.py"
domains = ["{name}.example.com"]
"""

MEMORY = """\
import os, pwd, re, sys
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        user = pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name
        text = open(f"/proc/{pid}/smaps_rollup").read()
    except (OSError, KeyError):
        continue
    pss = re.search("^Pss: +([0-9]+)", text, re.MULTILINE)
    if user.startswith("hostel-") and user != "hostel-router" and pss:
        found[user] = found.get(user, 0) + int(pss[1])
print(*found.values())
"""
"""Prints how much memory (PSS, kB) the processes of each site's user have."""


@contextlib.contextmanager
def server(disk: str = "20G") -> Iterator[DebianMachine]:
    """A machine with a server's packages. Raises Failed where none can be booted."""
    if why := why_not():
        raise Failed(why)
    with DebianMachine.boot(ready(), disk=disk) as machine:
        yield machine


def put(machine: DebianMachine, name: str, app: str = HELLO, more: str = "") -> str:
    """Write a project; returns its folder."""
    folder = f"/root/{name}"
    machine.write(f"{folder}/app.py", app)
    machine.write(f"{folder}/hostel.toml", SITE.format(name=name) + more)
    return folder


def timed(machine: DebianMachine, *argv: str) -> float:
    """How many seconds a command takes there. Raises Failed with what it said."""
    began = time.monotonic()
    done = machine.run(argv, timeout=3600)
    if done.returncode:
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-800:]}")
    return time.monotonic() - began


def memory(machine: DebianMachine) -> Sequence[float]:
    """The memory of each site, in MB (10^6 bytes)."""
    said = machine.run(["python3", "-c", MEMORY], check=True).stdout
    return [int(kilobytes) * 1024 / 1e6 for kilobytes in said.split()]
