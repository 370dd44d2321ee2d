"""Crash-safe: a run that is killed before or after any change is finished or undone by the next.

A run is killed at each of its points in turn. The next one undoes it, which is compared with all
that was there before, and is killed one point further. Somebody visits a site all the while.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..machines import DebianMachine
from .crashing import MOST_POINTS, Ran, Runs, Visitor, changed
from .sites import HELLO, ask, put_site

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]

HOST = "hello.example.com"
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
        if at:
            assert changed(former, ran.snapshot) == {}, f"after a kill {last}"
        yield ran
        if ran.code == 0:
            assert at > 10
            return
        assert ran.killed, ran.err
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
        for _ in killed_at_each_point(runs, "rollback", "hello"):
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
    """Kill it before and after each change that is made when all is verified: none is undone, so
    each run gets further; the last one ends."""
    for kill in range(MOST_POINTS):
        ran = runs(*argv, part="clear", match="enact", at=kill % 2)
        yield ran
        if ran.code == 0:
            return
        assert ran.killed, ran.err
    raise AssertionError(f"not done after {MOST_POINTS} kills")


@on_applied
def test_undoing_may_be_killed_anywhere_as_well(server: DebianMachine, runs: Runs) -> None:
    former, folder = runs.snapshot(), put(server, "new")
    with Visitor(server, HOST) as visitor:
        assert runs(
            "apply", folder, match="after enact file:/var/lib/hostel/sites/hello/site", at=0
        ).killed
        for at in range(MOST_POINTS):
            ran = runs("apply", folder, part="mend", at=at, fine=True, snapshots=True)
            visitor.check("hello", "new")
            if ran.code == 0:
                break
            assert ran.killed, ran.err
        assert at > 10
        assert changed(former, ran.snapshot) == {}
        assert "an earlier run was cut short" in ran.err
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
    """Where the journal and the ledger lie."""
    return name in ("/var/lib/hostel", "/var/lib/hostel/ledger.json")
