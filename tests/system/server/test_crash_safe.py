"""Crash-safe: a run that is killed before or after any change is finished or undone by the next.

A run is killed at each of its points in turn. The next one undoes it, which is compared with all
that was there before, and is killed one point further. Somebody visits a site all the while.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ..machines import DebianMachine
from .crashing import MOST_POINTS, Ran, Runs, Visitor, changed
from .sites import HELLO, ask, put_site

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(3600)]

HOST = "hello.example.com"
MOMENTS = 10
on_applied = pytest.mark.parametrize("server", ["applied"], indirect=True)

MORE = """\
[hooks]
release = ["/bin/true"]
[cron]
tidy = { schedule = "30 4 * * *", command = ["/bin/true"] }
"""


def put(server: DebianMachine, text: str, name: str = "hello", more: str = "") -> str:
    """A project whose app says this."""
    return put_site(server, name, HELLO.replace('"hello"', f'"{text}"'), more)


@pytest.fixture
def runs(server: DebianMachine) -> Iterator[Runs]:
    with Runs(server) as them:
        yield them


def killed_at_each_point(runs: Runs, *argv: str, **how: Any) -> Iterator[Ran]:
    """Kill the run at each point before its changes were verified. The next one undoes it, which
    must lead to what was there before, and is killed a point further; the last one ends."""
    runs.settled()
    former, last = runs.snapshot(), ""
    for at in range(MOST_POINTS):
        ran = runs(*argv, at=at, snapshots=True, **how)
        assert ran.killed or ran.code == 0, f"after a kill {last}: {ran.err}"
        if at:
            assert changed(former, ran.snapshot) == {}, f"after a kill {last}"
        yield ran
        if ran.code == 0:
            assert at > 10
            assert "an earlier run was cut short; what it had begun was undone" in ran.err
            return
        last = ran.last
    raise AssertionError(f"not verified after {MOST_POINTS} points")


@on_applied
def test_an_update_killed_anywhere_is_undone_by_the_next_run_and_the_site_serves_throughout(
    server: DebianMachine, runs: Runs
) -> None:
    with Visitor(server, HOST) as visitor:
        folder = put(server, "new")
        for _ in killed_at_each_point(runs, "apply", folder, fine=True):
            visitor.check("hello", "new")
        assert ask(server, HOST).text == "new"
        runs.finished(folder)


@on_applied
def test_an_update_killed_while_it_clears_away_is_live_and_the_next_run_clears_on(
    server: DebianMachine, runs: Runs
) -> None:
    """Five generations were there before, so that an old one goes, too."""
    texts = [f"text {number}" for number in range(5)]
    for text in texts:
        assert runs("apply", put(server, text)).code == 0
    with Visitor(server, HOST) as visitor:
        folder = put(server, "new")
        for number, _ in enumerate(cleared_by_kills(runs, "apply", folder)):
            visitor.check(*(["new"] if number else [texts[-1], "new"]))
        assert number > 10
        runs.finished(folder)
        assert not server.exists("/srv/hostel/hello/generations/1")
        killed = runs("apply", put(server, "newer"), part="clear", match="verified", at=0)
        assert killed.killed
        assert runs("apply", folder).code == 0
        runs.finished(folder)
        visitor.check("new", "newer")


@on_applied
def test_a_rollback_killed_anywhere_is_undone_by_the_next_run(
    server: DebianMachine, runs: Runs
) -> None:
    assert runs("apply", put(server, "new")).code == 0
    with Visitor(server, HOST) as visitor:
        for _ in killed_at_each_point(runs, "rollback", "hello", match="before"):
            visitor.check("hello", "new")
        assert ask(server, HOST).text == "hello"
        runs.settled()


@on_applied
def test_a_first_apply_killed_anywhere_leaves_nothing_and_its_removal_goes_on_where_it_was_killed(
    server: DebianMachine, runs: Runs
) -> None:
    """That it was begun is in the journal by then: all else is as after the change before it."""
    without = runs.snapshot()
    folder = put(server, "second", "second", MORE)
    with Visitor(server, HOST) as visitor:
        for _ in killed_at_each_point(runs, "apply", folder, match="before"):
            visitor.check("hello")
        runs.finished(folder)
        assert ask(server, "second.example.com").text == "second"
        assert len([*cleared_by_kills(runs, "remove", "second", "--yes")]) > 20
        assert server.exists("/srv/hostel/second/data")
        runs.settled()
        assert runs("apply", folder).code == 0
        runs.finished(folder)
        assert len([*cleared_by_kills(runs, "remove", "second", "--yes", "--data")]) > 20
        runs.settled()
        assert changed(without, runs.snapshot()) == {}
        visitor.check("hello")


def cleared_by_kills(runs: Runs, *argv: str) -> Iterator[Ran]:
    """Kill it before and after each change that is made when all is verified. The next run goes on
    with them and is killed at the next one; the last one ends."""
    for kill in range(MOST_POINTS):
        ran = runs(*argv, part="mend+clear", match="enact", at=kill % 2)
        yield ran
        if ran.code == 0:
            return
        assert ran.killed, ran.err
    raise AssertionError(f"not done after {MOST_POINTS} kills")


@on_applied
def test_undoing_may_be_killed_anywhere_as_well(server: DebianMachine, runs: Runs) -> None:
    """Before each change is undone, and after that, before the ledger knows and when it does."""
    former, folder = runs.snapshot(), put(server, "new")
    with Visitor(server, HOST) as visitor:
        last = "after enact file:/var/lib/hostel/sites/hello/site.json"
        assert runs("apply", folder, match=last, at=0).killed
        for kill in range(MOST_POINTS):
            ran = runs("apply", folder, part="mend", at=kill % 3, fine=True, snapshots=True)
            visitor.check("hello", "new")
            if ran.code == 0:
                break
            assert ran.killed, ran.err
        assert kill > 20
        assert changed(former, ran.snapshot) == {}
        runs.finished(folder)


def test_a_bare_server_is_made_ready_by_the_run_after_one_that_was_killed_anywhere(
    server: DebianMachine, runs: Runs
) -> None:
    folder, last = put(server, "hello"), ""
    former = runs.snapshot()
    for at in range(MOST_POINTS):
        ran = runs("apply", folder, match="before", at=at, snapshots=True)
        assert ran.killed, ran.err
        left = {name for name in changed(former, ran.snapshot) if not _stays(name)} if at else set()
        assert not left, f"after a kill {last}"
        last = ran.last
        if last == "before verified":
            break
    assert at > 10
    assert runs("apply", folder).code == 0
    runs.finished(folder)
    assert ask(server, HOST).text == "hello"


def _stays(name: str) -> bool:
    """Where lock, journal and ledger lie."""
    return name in ("/run/hostel", "/var/lib/hostel", "/var/lib/hostel/ledger.json")


CUTS = [
    ("run", "after enact release"),
    ("run", "after enact service"),
    ("run", "after enact route"),
    ("clear", "after verified"),
]


@on_applied
def test_after_a_power_cut_the_site_serves_and_the_next_run_ends_the_work(
    server: DebianMachine,
) -> None:
    """What had not reached the disk is lost with it."""
    former = "hello"
    for number, (part, point) in enumerate(CUTS):
        new = f"new {number}"
        folder = put(server, new)
        server.run(["sync"], check=True)
        with Runs(server) as runs:
            ran = runs("apply", folder, part=part, match=point, at=0)
            assert ran.killed, ran.err
            server.power_cut()
        assert ask(server, HOST).text in (former, new)
        with Runs(server) as runs:
            assert runs("apply", folder).code == 0
            assert ask(server, HOST).text == new
            runs.finished(folder)
        former = new


@on_applied
def test_an_update_killed_at_any_moment_is_undone_with_what_its_programs_were_at(
    server: DebianMachine, runs: Runs
) -> None:
    """Not between two steps, but within them."""
    began = time.monotonic()
    assert server.run(["hostel", "apply", put(server, "hello again")]).returncode == 0
    whole = time.monotonic() - began
    with Visitor(server, HOST) as visitor:
        folder = put(server, "new")
        for part in range(MOMENTS):
            with server.popen(["hostel", "apply", folder]) as run:
                time.sleep(whole * part / MOMENTS)
                run.kill()
            visitor.check("hello again", "new")
        assert runs("apply", folder).code == 0
        runs.finished(folder)
        visitor.check("hello again", "new")
    assert ask(server, HOST).text == "new"
