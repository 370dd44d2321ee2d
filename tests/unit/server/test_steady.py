"""A new instance is watched for a moment: real processes that stay, end, or are not its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from hostel.server.steady import Processes

PARENT = """
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", code]) for code in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.readline()
for child in children:
    child.kill()
    child.wait()
"""
STAYS = "import time; time.sleep(600)"
ENDS = "import time; time.sleep(0.5)"

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process with children that run these lines; returns its number."""
    begun: list[subprocess.Popen[str]] = []

    def started(*codes: str) -> int:
        argv = [sys.executable, "-c", PARENT, *codes]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield started
    for process in begun:
        process.communicate("end\n", timeout=60)


def test_what_stays_is_steady(start: Start) -> None:
    pid = start(STAYS, STAYS)
    assert Processes(lambda: pid).ended(0.5) == ""


def test_one_process_that_ends_is_enough_though_the_others_stay(start: Start) -> None:
    """A zombie has ended: its parent may be late to collect it."""
    pid = start(STAYS, ENDS)
    assert "a process of it ended" in Processes(lambda: pid).ended(60)


def test_a_unit_without_a_process_or_with_a_new_one_has_ended(start: Start) -> None:
    assert "httpd has ended" in Processes(lambda: None).ended(60)
    pids = iter([start(STAYS), start(STAYS)])
    assert "httpd has ended" in Processes(lambda: next(pids)).ended(60)


def test_others_are_told_from_its_own(start: Start) -> None:
    import psutil

    mine, other = start(STAYS), start(STAYS)
    processes = Processes(lambda: mine)
    [child] = psutil.Process(mine).children()
    assert not processes.are_not(str(mine))
    assert not processes.are_not(str(child.pid))
    assert processes.are_not(str(other))
    assert processes.are_not(str(os.getpid()))


@pytest.mark.parametrize("pid", ["", "-", "999999999", "x"])
def test_who_does_not_live_may_have_been_its_own(pid: str) -> None:
    assert not Processes(os.getpid).are_not(pid)
