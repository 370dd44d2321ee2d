"""Ctrl-C, SIGTERM and a second run: a run that is ended undoes what it began, and says so."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .crashing import MOST_POINTS, Runs, Visitor, changed
from .sites import HELLO, ask, put_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.parametrize("server", ["applied"], indirect=True),
]

HOST = "hello.example.com"
INTERRUPTED = 130

SLEEPS = f"""\
import sys
import time

if "mod_wsgi" in sys.modules or not {{only_there}}:
    time.sleep(600)
{HELLO}"""
"""An app that does not come to an end of its import, anywhere or only in httpd."""


def test_a_signal_at_any_change_undoes_all_and_says_so(server: DebianMachine) -> None:
    folder = put_site(server, "hello", HELLO.replace('"hello"', '"new"'))
    with Runs(server) as runs, Visitor(server, HOST) as visitor:
        former = runs.snapshot()
        planned = runs("plan", folder, "--json").out
        for at in range(MOST_POINTS):
            number = (signal.SIGINT, signal.SIGTERM)[at % 2]
            ran = runs("apply", folder, match="before", at=at, signal=number)
            if ran.code == 0:
                break
            assert ran.code == INTERRUPTED, ran.err
            assert "Interrupted; what it had begun was undone." in ran.err, ran.last
            assert changed(former, runs.snapshot()) == {}, ran.last
            assert runs("plan", folder, "--json").out == planned, ran.last
            visitor.check("hello", "new")
        assert at > 10
        runs.finished(folder)


@contextmanager
def at_work(server: DebianMachine, argv: Sequence[str], until: str) -> Iterator[int]:
    """The pid of the command in the machine, which has said `until`. It leads a process group, as
    the job of a shell does."""
    server.run(["rm", "-f", "/root/said"], check=True)
    script = 'exec 2>/root/said; echo "$$" >&2; exec "$@"'
    words = ["setsid", "--wait", "sh", "-c", script, "sh", *argv]
    with server.popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: until in said(server), f"it says {until}", 300)
            yield int(said(server).split()[0])
        finally:
            process.kill()


def said(server: DebianMachine) -> str:
    return server.run(["cat", "/root/said"]).stdout


def ended(server: DebianMachine, pid: int, numbers: Sequence[signal.Signals]) -> None:
    """Send these to its group, as a terminal does, and wait for its end."""
    for number in numbers:
        server.run(["kill", "-s", number.name, "--", f"-{pid}"])
    eventually(lambda: not server.exists(f"/proc/{pid}"), "it ends", 300)


@pytest.mark.parametrize(("only_there", "step"), [(False, "importing the app"), (True, "starting")])
def test_ctrl_c_while_an_app_hangs_undoes_all_and_the_site_serves_on(
    server: DebianMachine, only_there: bool, step: str
) -> None:
    """Two Ctrl-C, of which the second comes when it undoes already."""
    folder = put_site(server, "hello", SLEEPS.format(only_there=only_there))
    with Runs(server) as runs, Visitor(server, HOST) as visitor:
        former = runs.snapshot()
        with at_work(server, ["hostel", "apply", folder], step) as pid:
            ended(server, pid, [signal.SIGINT, signal.SIGINT])
        assert "Interrupted; what it had begun was undone." in said(server)
        runs.settled()
        assert changed(former, runs.snapshot()) == {}
        visitor.check("hello")


def test_a_second_run_ends_at_once_and_names_the_first(server: DebianMachine) -> None:
    folder = put_site(server, "hello", SLEEPS.format(only_there=False))
    other = put_site(server, "other")
    with at_work(server, ["hostel", "apply", folder], "importing the app") as pid:
        for argv in (["apply", other], ["rollback", "hello"], ["remove", "hello", "--yes"]):
            ran = server.run(["hostel", *argv])
            assert ran.returncode == 5
            assert f"pid {pid}, hostel apply {folder}" in ran.stderr
        assert ask(server, HOST).text == "hello"
        # What only looks need not wait.
        assert server.run(["hostel", "plan", other]).returncode == 0
        server.run(["kill", "-s", "KILL", "--", f"-{pid}"], check=True)
        eventually(lambda: not server.exists(f"/proc/{pid}"), "it ends", 300)
    assert server.run(["hostel", "apply", other]).returncode == 0
    assert ask(server, "other.example.com").text == "hello"


def test_a_removal_that_is_interrupted_says_how_to_go_on(server: DebianMachine) -> None:
    with Runs(server) as runs:
        argv = ["remove", "hello", "--yes", "--data"]
        # Each run goes on with what was left: first its units, then its files.
        for at in (0, 8):
            ran = runs(*argv, part="clear", match="after enact", at=at, signal=signal.SIGINT)
            assert ran.code == INTERRUPTED, ran.err
            assert "hello is removed in part: run the same command again" in ran.err
        assert runs(*argv).code == 0
        runs.settled()
    assert not server.exists("/srv/hostel/hello")
