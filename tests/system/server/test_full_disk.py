"""Disks that are full or read-only: the change is undone, nothing is lost, the message helps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ..machines import DebianMachine
from .conftest import Layers
from .crashing import Ran, Runs, Visitor, changed
from .sites import HELLO, put_site

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(3600)]

NUMBERS = itertools.count()
HOST = "hello.example.com"
VOLUMES = {
    "/srv/hostel": "48M",
    "/var/lib/hostel": "160M",
    "/etc/hostel": "16M",
    "/etc/systemd/system": "16M",
}
KEPT = {
    "/srv/hostel": [0, 4, 16, 24, 32, 48, 96, 160, 224],
    "/var/lib/hostel": [0, 4, 64, 1024, 1028, 1032, 1040, 1048, 1056, 1100],
    "/etc/hostel": [0, 1024, 1032, 1100],
    "/etc/systemd/system": [0, 1024, 1032, 1100],
}
"""Kilobytes that are left free: none, too few to begin, and more and more. Of those on all but the
first a run keeps 1024 back for its undo."""

FILL = """
import os
import sys

folder, kept = sys.argv[1], int(sys.argv[2]) * 1024
handle = os.open(folder + "/fill", os.O_WRONLY | os.O_CREAT)
size, step = 0, 1 << 26
while step >= 1024:
    try:
        os.posix_fallocate(handle, size, step)
        size += step
    except OSError:
        step //= 2
os.ftruncate(handle, max(0, size - kept))
os.fsync(handle)
"""


@pytest.fixture(scope="module")
def server(layers: Layers) -> Iterator[DebianMachine]:
    """One for all tests, where each of Hostel's folders is a small disk of its own, with a site."""
    with DebianMachine.boot(layers("ready")) as server:
        server.run(["cp", "-a", "/etc/systemd/system", "/root/units"], check=True)
        for path, size in VOLUMES.items():
            server.tiny_volume(path, size)
        server.run(["cp", "-a", "/root/units/.", "/etc/systemd/system/"], check=True)
        server.run(["hostel", "apply", put_site(server, "hello")], check=True, timeout=900)
        yield server


@pytest.fixture
def runs(server: DebianMachine) -> Iterator[Runs]:
    with Runs(server) as them:
        yield them


def helped(ran: Ran, path: str, remedy: str) -> None:
    """The message names a path on the disk that is to blame, and says what to do."""
    assert path in ran.err
    assert remedy in ran.err
    assert "bug in Hostel" not in ran.err
    assert "Traceback" not in ran.err


def put(server: DebianMachine, text: str) -> str:
    """A new text, new requirements, and a file of some size."""
    text = f"{text} {next(NUMBERS)}"
    server.write("/root/hello/requirements.txt", f"# none for {text}\n")
    server.write("/root/hello/large", text * 10_000)
    return put_site(server, "hello", HELLO.replace('"hello"', f'"{text}"'))


def at_rest(runs: Runs) -> dict[str, str]:
    """What there is, once the last instance has drained."""
    runs.settled()
    return runs.snapshot()


def test_a_full_disk_is_told_and_undone_and_with_free_space_it_goes_through(
    server: DebianMachine, runs: Runs
) -> None:
    with Visitor(server, HOST) as visitor:
        for path, amounts in KEPT.items():
            folder, former, failed = put(server, path), at_rest(runs), 0
            for kept in amounts:
                server.run(["python3", "-c", FILL, path, str(kept)], check=True)
                ran = runs("apply", folder)
                server.run(["rm", f"{path}/fill"], check=True)
                if ran.code == 0:
                    break
                failed += 1
                assert ran.code in (1, 4), ran.err
                helped(ran, path, "Free some space on that disk")
                runs.settled()
                assert changed(former, runs.snapshot()) == {}, f"{path} with {kept} KB"
            assert failed >= 2
            assert runs("apply", folder).code == 0
            runs.finished(folder)
            visitor.check()


def remount(path: str, how: str) -> list[str]:
    return ["mount", "-o", f"remount,bind,{how}", path]


def test_a_read_only_disk_is_told_and_undone_and_once_writable_it_goes_through(
    server: DebianMachine, runs: Runs
) -> None:
    with Visitor(server, HOST) as visitor:
        for path in VOLUMES:
            folder, former = put(server, path), at_rest(runs)
            server.run(remount(path, "ro"), check=True)
            assert runs("plan", folder, "--exit-code").code == 3
            ran = runs("apply", folder)
            assert ran.code in (1, 4), ran.err
            helped(ran, path, "mount it writable")
            visitor.check()
            server.run(remount(path, "rw"), check=True)
            runs.settled()
            assert changed(former, runs.snapshot()) == {}, path
            assert runs("apply", folder).code == 0
            runs.finished(folder)


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/srv/hostel", "before enact release"),
        ("/var/lib/hostel", "before enact service"),
        ("/var/lib/hostel", "after enact route"),
        ("/etc/hostel", "before enact route"),
        ("/etc/systemd/system", "before enact service"),
    ],
)
def test_a_disk_that_turns_read_only_takes_no_site_down_and_the_next_run_undoes(
    server: DebianMachine, runs: Runs, path: str, point: str
) -> None:
    """Then not even the undo can write."""
    with Visitor(server, HOST) as visitor:
        folder, former = put(server, path), at_rest(runs)
        ran = runs("apply", folder, match=point, at=0, act=remount(path, "ro"))
        assert ran.code in (1, 4), ran.err
        helped(ran, path, "mount it writable")
        ends_well(server, runs, path, folder, former)
        visitor.check()


def test_an_undo_that_cannot_point_the_router_back_stops_nothing_that_it_points_to(
    server: DebianMachine, runs: Runs
) -> None:
    path = "/etc/hostel"
    with Visitor(server, HOST) as visitor:
        folder, former = put(server, path), at_rest(runs)
        act = ["sh", "-c", f"{' '.join(remount(path, 'ro'))} && kill -INT $PPID"]
        ran = runs("apply", folder, match="after enact route", at=0, act=act)
        assert ran.code == 1, ran.err
        helped(ran, path, "run the same command again: it first undoes the rest")
        visitor.check()
        ends_well(server, runs, path, folder, former)
        visitor.check()


def ends_well(
    server: DebianMachine, runs: Runs, path: str, folder: str, former: dict[str, str]
) -> None:
    """Writable again, the next run first undoes all, and then goes through."""
    server.run(remount(path, "rw"), check=True)
    ran = runs("apply", folder, snapshots=True)
    assert ran.code == 0, ran.err
    assert changed(former, ran.snapshot) == {}
    runs.finished(folder)
