"""Machines go without a trace, however their test run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..machines import DebianMachine
from ..machines.host import Process, eventually
from ..machines.network import CLAIMS, FORWARD
from ..machines.remains import sweep
from .conftest import Layers


def traces(number: int, folder: Path) -> set[str]:
    """All that a machine may leave on the host."""
    link = f"hostel-m{number}"
    found = {f"link {link}"} if Path(f"/sys/class/net/{link}").exists() else set()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    found |= {f"table {line}" for line in tables.stdout.splitlines() if line.split()[-1] == link}
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found |= {f"mount {line}" for line in mounts if f"{folder}/" in line}
    loops = Path("/sys/block").glob("loop*/loop/backing_file")
    found |= {f"loop {loop}" for loop in loops if f"{folder}/" in loop.read_text()}
    found |= {f"cgroup {at}" for at, _, _ in os.walk("/sys/fs/cgroup") if link in Path(at).parts}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        if f"{folder}/".encode() in process.read_bytes():
            found.add(f"process {process}")
    return found | {f"folder {each}" for each in (folder, CLAIMS / str(number)) if each.exists()}


def test_close_leaves_nothing_and_may_be_called_again(layers: Layers) -> None:
    alone = not any(CLAIMS.glob("[0-9]*"))
    forward = FORWARD.read_text()
    machine = DebianMachine.boot(layers("bare"), volumes={"/srv/data": "40M"})
    number, folder, leader = machine.claim.number, machine.folder, machine.leader
    background = machine.popen(["sleep", "600"])
    kinds = {trace.split()[0] for trace in traces(number, folder)}
    assert kinds >= {"link", "table", "loop", "cgroup", "process", "folder"}
    assert not any(trace.startswith("mount") for trace in traces(number, folder))
    assert FORWARD.read_text() == "1\n"
    machine.close()
    machine.close()
    eventually(lambda: not leader.alive, "its PID 1 is dead")
    assert background.wait(timeout=60) != 0
    assert traces(number, folder) == set()
    if alone and not any(CLAIMS.glob("[0-9]*")):
        assert FORWARD.read_text() == forward


KILLED = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import machines
machine = machines.DebianMachine.boot(machines.bare())
told = {"number": machine.claim.number, "folder": str(machine.folder), "pid": machine.leader.pid}
print(json.dumps(told), flush=True)
time.sleep(600)
"""


def test_a_killed_test_run_takes_its_machine_along_and_the_next_one_tidies_up(
    layers: Layers,
) -> None:
    layers("bare")
    argv = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1])]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        told = json.loads(run.stdout.readline())
        leader = Process.of(told["pid"])
        assert leader.alive
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not leader.alive, "its machine is dead")
    sweep()  # or another test run has it in hand already
    left = Path(told["folder"])
    eventually(lambda: traces(told["number"], left) == set(), "it has left nothing")
