"""Finding processes without being fooled: zombies, reused pids, arguments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel import processes
from hostel.machine import Machine
from hostel.processes import Identity

Child = subprocess.Popen[bytes]


@pytest.fixture
def child() -> Iterator[Child]:
    it = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "mark-of-a-test"])
    yield it
    it.kill()
    it.wait()


def identity(child: Child) -> Identity:
    who = processes.identity(child.pid)
    assert who is not None
    return who


def test_a_living_process_is_alive_and_stays_the_same(child: Child) -> None:
    who = identity(child)
    assert processes.alive(who)
    assert processes.identity(child.pid) == who


def test_a_process_that_ended_and_was_not_yet_reaped_is_dead(child: Child) -> None:
    who = identity(child)
    child.kill()
    assert processes.wait(lambda: processes.identity(child.pid) is None, 30)
    assert not processes.alive(who)
    os.kill(child.pid, 0)  # The zombie still has the pid.


def test_another_process_with_the_same_pid_is_another_one(child: Child) -> None:
    who = identity(child)
    assert not processes.alive(Identity(who.pid, who.began - 60))
    assert not processes.alive(Identity(who.pid, 0))


def test_nobody_is_dead() -> None:
    assert not processes.alive(None)
    assert processes.identity(2**22 + 1) is None


def test_only_an_httpd_of_that_user_and_file_is_found(tmp_path: Path) -> None:
    conf = tmp_path / "httpd.conf"
    conf.write_text("")
    named = tmp_path / "httpd"
    named.symlink_to("/usr/bin/tail")
    pager = subprocess.Popen(["/usr/bin/tail", "-f", str(conf)])
    server = subprocess.Popen(
        [named, "-q", "-f", str(conf), "--", "-DFOREGROUND"], stderr=subprocess.DEVNULL
    )
    try:
        uid = os.geteuid()
        found = {process.pid for process in processes.httpds_of(conf, uid)}
        assert found == {server.pid}
        assert not list(processes.httpds_of(conf, uid + 1))
        assert not list(processes.httpds_of(tmp_path / "other.conf", uid))
        pager_id = processes.identity(pager.pid)
        assert pager_id is not None
        assert not processes.is_ours(pager_id, conf, uid)
    finally:
        for process in (pager, server):
            process.kill()
            process.wait()


def test_waiting_ends_as_soon_as_it_holds_and_asks_at_least_once() -> None:
    answers = iter([False, False, True])
    assert processes.wait(lambda: next(answers), 30)
    assert processes.wait(lambda: True, 0)
    assert not processes.wait(lambda: False, 0)


def test_one_that_hears_a_gentle_signal_is_ended_by_it(child: Child) -> None:
    processes.end(Machine(), identity(child), signal.SIGINT, 30)
    assert child.wait(30) != 0


def test_one_deaf_to_all_is_killed() -> None:
    code = (
        "import signal, time\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(600)"
    )
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    processes.end(Machine(), identity(deaf), signal.SIGINT, 0.1)
    assert deaf.wait(30) == -signal.SIGKILL
    deaf.stdout.close()


def test_ending_one_that_is_another_by_now_touches_nobody(child: Child) -> None:
    processes.end(Machine(), Identity(child.pid, 0), signal.SIGKILL, 0)
    assert child.poll() is None


def test_memory_is_counted_and_is_none_for_the_dead(child: Child) -> None:
    assert processes.memory(2**22 + 1) == 0
    if sys.platform == "linux":
        assert processes.memory(child.pid) > 100_000
