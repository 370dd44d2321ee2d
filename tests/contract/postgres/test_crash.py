"""Whatever was killed, and at whatever moment, the next start is clean and no data are lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from hostel import postmaster
from hostel.errors import HostelError
from hostel.plan import Change
from hostel.processes import wait

pytestmark = pytest.mark.system


@pytest.fixture
def up(site: Any) -> Iterator[Any]:
    site.settle()
    with site.app() as connection:
        connection.execute("CREATE TABLE entry (text text)")
        connection.execute("INSERT INTO entry VALUES ('kept')")
    return site


def gone(process: psutil.Process) -> bool:
    """Ended; whether anybody has asked how is not the point."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_kept(site: Any) -> None:
    with site.app() as connection:
        assert connection.execute("SELECT text FROM entry").fetchall() == [("kept",)]


def test_a_killed_postmaster_is_seen_as_gone_and_starts_clean(up: Any) -> None:
    """Here it stays a zombie as well, since this process started it and does not reap it."""
    resource, which, wanted = up.kinds()[1]
    os.kill(up.pid(), signal.SIGKILL)
    assert wait(lambda: resource.observe(which, up.machine) is None, 5)
    resource.enact(Change(which, None, wanted), up.machine)
    assert resource.observe(which, up.machine) == wanted
    assert_kept(up)


def test_a_killed_group_starts_clean(up: Any) -> None:
    for pid in postmaster.orphans(up.data, up.machine):
        with contextlib.suppress(ProcessLookupError):  # it may end with those killed before it
            os.kill(pid, signal.SIGKILL)
    assert wait(lambda: not postmaster.orphans(up.data, up.machine), 5)
    up.start()
    assert_kept(up)


def test_a_backend_that_does_not_notice_its_postmasters_death_is_ended(up: Any) -> None:
    """It holds the shared memory, so that no server could start: busy in a loop, and stopped."""

    def loop() -> None:
        with pytest.raises(psycopg.Error), up.app() as connection:
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    busy = [threading.Thread(target=loop) for _ in range(2)]
    for thread in busy:
        thread.start()
    backends: list[psutil.Process] = []

    def found() -> bool:
        with contextlib.suppress(psutil.Error):  # one may end between being listed and looked at
            children = psutil.Process(up.pid()).children()
            backends[:] = [child for child in children if "DO" in child.cmdline()[0]]
        return len(backends) == 2

    assert wait(found, 10)
    backends[0].suspend()
    os.kill(up.pid(), signal.SIGKILL)
    assert wait(lambda: postmaster.living(up.data, up.machine) is None, 5)
    up.start()
    for thread in busy:
        thread.join(10)
    assert all(gone(process) for process in backends)
    assert_kept(up)


def test_a_stop_after_a_kill_leaves_nothing_running(up: Any) -> None:
    child = psutil.Process(up.pid()).children()[0]
    child.suspend()
    os.kill(up.pid(), signal.SIGKILL)
    assert wait(lambda: postmaster.living(up.data, up.machine) is None, 5)
    up.stop()
    assert postmaster.orphans(up.data, up.machine) == []


def test_a_pid_that_belongs_to_another_program_now_is_neither_believed_nor_harmed(up: Any) -> None:
    """As after a power cut: postgres itself would refuse to start over it."""
    up.stop()
    argv = ["sleep", "60"]
    other = up.machine.spawn(argv, env={}, cwd=Path("/"), log=up.log, as_runner=True)
    try:
        for note in (up.data / "postmaster.pid", up.run / ".s.PGSQL.5432.lock"):
            note.write_text(f"{other.pid}\n{up.data}\n1700000000\n5432\n{up.run}\n\n 1 2\nready\n")
        resource, which, _ = up.kinds()[1]
        assert resource.observe(which, up.machine) is None
        up.start()
        assert other.poll() is None
        assert_kept(up)
        up.stop()
        (up.data / "postmaster.pid").write_text(f"{other.pid}\n")
        up.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"-1\n", b"99999999999999999999\n", b"\xff\x00", b"0\n"]
)
def test_a_damaged_pid_file_stops_nothing_and_nobody(up: Any, text: bytes) -> None:
    up.stop()
    (up.data / "postmaster.pid").write_bytes(text)
    up.stop()
    up.start()
    assert_kept(up)


def test_a_server_whose_folder_was_removed_gives_up_its_socket(up: Any) -> None:
    old = psutil.Process(up.pid())
    up.machine.remove(up.data)
    up.settle()
    assert up.pid() != old.pid
    assert gone(old)


def test_a_socket_that_was_cleaned_away_comes_back(up: Any) -> None:
    (up.run / ".s.PGSQL.5432").unlink()
    up.start()
    assert_kept(up)


def test_bad_settings_fail_in_the_servers_own_words_and_leave_nothing_running(site: Any) -> None:
    site.settle(last=1)
    with (site.data / "hostel.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    resource, which, wanted = site.kinds()[1]
    with pytest.raises(HostelError, match=r"contains errors") as caught:
        resource.enact(Change(which, None, wanted), site.machine)
    assert "no_such_setting" in caught.value.detail
    assert resource.observe(which, site.machine) is None
    assert postmaster.orphans(site.data, site.machine) == []


def test_open_permissions_are_explained(site: Any) -> None:
    site.settle(last=1)
    site.data.chmod(0o777)
    with pytest.raises(HostelError, match="invalid permissions") as caught:
        site.start()
    assert "chmod 0700" in caught.value.remedy


MAKE = """
import sys
from pathlib import Path
from hostel import postgres
from hostel.account import Account
from hostel.machine import Machine
from hostel.plan import Change
from hostel.resources.cluster import ClusterState, Clusters, cluster_key
machine = Machine(Account.named(sys.argv[2]))
found = postgres.find(machine)
wanted = ClusterState(major=found.major, hba="", ident="", conf="")
print("go", flush=True)
Clusters(lambda: found).enact(Change(cluster_key(Path(sys.argv[1])), None, wanted), machine)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_a_cluster_is_made_after_its_making_was_killed(site: Any, seconds: float) -> None:
    """initdb, orphaned, may still be at work beside the next attempt."""
    argv = [sys.executable, "-c", MAKE, str(site.data), site.machine.runner.name]
    making = subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ})
    assert making.stdout is not None
    making.stdout.readline()
    time.sleep(seconds)
    making.kill()
    making.wait()
    making.stdout.close()
    site.settle()
    resource, which, wanted = site.kinds()[0]
    time.sleep(0.3)
    resource.enact(Change(which, wanted, wanted), site.machine)
    assert [path.name for path in site.data.parent.iterdir()] == ["data"]
    with site.app() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_half_removed_cluster_is_no_cluster(site: Any) -> None:
    site.settle(last=1)
    resource, which, wanted = site.kinds()[0]
    site.data.rename(site.data.with_name("data.gone-1"))
    (site.data.with_name("data.gone-1") / "PG_VERSION").unlink()
    assert resource.observe(which, site.machine) is None
    site.settle(last=1)
    assert [path.name for path in site.data.parent.iterdir()] == ["data"]
    assert resource.observe(which, site.machine) == wanted
