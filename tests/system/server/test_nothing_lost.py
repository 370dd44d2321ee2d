"""Nothing is lost: whatever changes about a site, each request gets its answer, whole."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import pytest

from ..machines import DebianMachine
from .changes import Body, Changes, Flight, add_python, eventually, numbered
from .conftest import Layers
from .goaway import Http2Line
from .load import Aim, Load, Tally
from .sites import ask, put_site

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(3600)]

KEPT_GENERATIONS = 5
SWITCHES = 20
REQUESTS = 100_000
EASE = 2.0
"""Seconds between two switches: visitors come back to the new generation as to the old one."""


@pytest.fixture(scope="module")
def changes(layers: Layers) -> Iterator[Changes]:
    with DebianMachine.boot(layers("applied")) as machine:
        made = Changes(machine)
        made.apply()
        yield made


def nothing_lost(tally: Tally) -> None:
    assert not tally.wrong, tally
    assert tally.closed * 1000 < tally.requests, tally


def test_twenty_switches_of_every_kind_under_load_lose_nothing(changes: Changes) -> None:
    """32 kept-alive and 32 closing connections; a closing of a kept-alive connection is announced
    in an answer, but for less than one in a thousand requests."""
    other = add_python(changes.server)
    kinds: list[Callable[[], None]] = [changes.new_code, changes.new_variable]
    kinds += [changes.kept_variable, changes.new_certificate, changes.other_processes]
    if other:
        changes.pythons.append(other)
        kinds.append(changes.other_python)
    else:
        warnings.warn(
            "this host has no second Python: that kind of switch was left out", stacklevel=1
        )
    first = changes.is_live()
    with Load(changes.aim()) as load:
        load.until(1000)
        for number, change in enumerate(islice(cycle(kinds), SWITCHES), 1):
            change()
            assert changes.is_live() == first + number
            time.sleep(EASE)
            nothing_wrong = load.tally()
            assert not nothing_wrong.wrong, (change, nothing_wrong)
        tally = load.until(REQUESTS)
    print(f"{SWITCHES} switches, other Python: {other or 'none'}; {tally}")
    nothing_lost(tally)
    assert tally.newest == first + SWITCHES
    assert len(tally.generations) == SWITCHES + 1
    assert tally.announced


@dataclass
class Crossing:
    """Requests of every kind that were begun before a switch and are to end after it: when new
    ones have a new generation for long, and the old instance takes none any more.
    """

    generation: int
    code: int
    flights: dict[str, Flight]
    bodies: dict[str, Body]


@pytest.fixture(scope="module")
def crossing(changes: Changes) -> Crossing:
    before, code = changes.is_live(), changes.code
    bodies = {"sized": Body(chunked=False), "chunked": Body(chunked=True)}
    paths = ["/hold/slow/20", "/hold/poll", "/hold/held", "/stream/stream"]
    flights = [Flight(changes, "GET", path) for path in paths]
    flights += [Flight(changes, "POST", f"/upload/{name}", body) for name, body in bodies.items()]
    for flight in flights:
        flight.begin()
    changes.new_code()
    assert changes.is_live() == before + 1
    eventually(lambda: not changes.listens(before), "the old instance stops to listen")
    assert all(flight.is_alive() for flight in flights)
    for body in bodies.values():
        body.hurried.set()
    changes.let_end("slow", "poll", "stream")
    return Crossing(before, code, {flight.name: flight for flight in flights}, bodies)


@pytest.mark.parametrize("name", ["slow", "poll"])
def test_a_request_that_waits_in_the_app_ends_normally_after_a_switch(
    crossing: Crossing, name: str
) -> None:
    """One that takes 20 seconds, and a long poll; the answer says that the connection closes."""
    said = json.loads(crossing.flights[name].end())
    assert said == {"generation": crossing.generation, "late": f"code {crossing.code}"}
    assert crossing.flights[name].closes


@pytest.mark.parametrize("name", ["sized", "chunked"])
def test_an_upload_ends_normally_after_a_switch(crossing: Crossing, name: str) -> None:
    said = json.loads(crossing.flights[name].end())
    assert said == {"generation": crossing.generation, **crossing.bodies[name].facts}


def test_a_streamed_answer_ends_normally_after_a_switch(crossing: Crossing) -> None:
    lines, last = numbered(crossing.flights["stream"].end())
    assert lines == [*range(len(lines))]
    assert last == f"end of {crossing.generation}"


def test_a_request_outlasts_more_switches_than_generations_are_kept(
    changes: Changes, crossing: Crossing
) -> None:
    """What it needs of its release is there until its end, and goes after it."""
    for _ in range(KEPT_GENERATIONS):
        changes.new_code()
    assert crossing.flights["held"].is_alive()
    changes.let_end("held")
    said = json.loads(crossing.flights["held"].end())
    assert said == {"generation": crossing.generation, "late": f"code {crossing.code}"}
    eventually(lambda: changes.has_ended(crossing.generation), "the old instance ends")
    changes.new_code()
    assert not changes.server.exists(f"/srv/hostel/hello/generations/{crossing.generation}")


def test_http2_is_told_to_go_and_keeps_what_is_in_flight(changes: Changes) -> None:
    """A busy connection and an idle one: both see GOAWAY rather than a cut."""
    before, aim = changes.is_live(), changes.aim()
    busy, idle = Http2Line(aim), Http2Line(aim)
    held = busy.ask("/hold/http2")
    assert idle.answered(idle.ask("/load/idle")).status == 200
    changes.new_variable()
    assert changes.is_live() == before + 1
    changes.let_end("http2")
    busy.answered(held)
    assert (held.status, held.ended, held.refused) == (200, True, False)
    assert json.loads(held.body)["generation"] == before
    while not busy.goaways:
        asked = busy.answered(busy.ask("/load/busy"))
        assert asked.refused or (asked.status, asked.reset) == (200, None)
        assert asked.refused or asked.body.startswith(f"{before}\n".encode())
        busy.listen(0.02)
    while not idle.closed:
        idle.listen(60)
    assert idle.goaways
    while not busy.closed:
        busy.listen(60)


def test_switches_under_http2_lose_no_stream(changes: Changes) -> None:
    before, lines = changes.is_live(), [Http2Load(changes.aim()) for _ in range(4)]
    for line in lines:
        line.start()
    for _ in range(3):
        changes.new_variable()
        time.sleep(EASE)
    eventually(lambda: all(one.done or one.newest == before + 3 for one in lines), "all go over")
    for line in lines:
        line.stop()
        assert not line.wrong
        assert line.answers > 0
    assert sum(line.connections for line in lines) > len(lines)


class Http2Load(threading.Thread):
    """One request after the other, on a new connection after GOAWAY.

    Not several at once: those that cross a GOAWAY on their way make mod_http2 drop the connection,
    with what is in flight on it (`DRAIN_SECONDS` of platforms/debian.py says how rare that is).
    """

    def __init__(self, aim: Aim) -> None:
        super().__init__(daemon=True)
        self.aim = aim
        self.done = False
        self.connections = self.answers = self.newest = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        try:
            while not self.done:
                self._one_connection()
        except Exception as error:
            self.wrong.append(repr(error))
        self.done = True

    def _one_connection(self) -> None:
        line = Http2Line(self.aim)
        self.connections += 1
        while not (self.done or line.goaways or line.closed):
            stream = line.answered(line.ask("/load/http2"))
            if stream.refused:
                continue  # Nobody has looked at it: a browser asks again.
            if (stream.status, stream.reset) != (200, None):
                self.wrong.append(f"{stream.path}: {stream.status}, reset {stream.reset}")
            self.answers += 1
            self.newest = max(self.newest, int(stream.body.partition(b"\n")[0]))
        if line.closed and not line.goaways:
            self.wrong.append("closed without GOAWAY")
        line.close()

    def stop(self) -> None:
        self.done = True
        self.join(600)


def test_other_sites_come_and_go_under_load_with_nothing_lost(changes: Changes) -> None:
    """The router is reloaded for each; who is connected does not notice."""
    server, generation = changes.server, changes.is_live()
    folder = put_site(server, "second")
    with Load(changes.aim()) as load:
        load.until(1000)
        for _ in range(3):
            server.run(["hostel", "apply", folder], check=True, timeout=1200)
            assert ask(server, "second.example.com").text == "hello"
            server.run(["hostel", "remove", "second", "--yes"], check=True, timeout=1200)
        tally = load.until(load.tally().requests + 1000)
    nothing_lost(tally)
    assert [*tally.generations] == [str(generation)]
