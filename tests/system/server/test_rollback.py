"""Rollback: back to what was well, in one word, whatever else is broken at that moment."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .asking import Asker
from .sites import HELLO, ask, plan_is_empty, put_site, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.parametrize("shared_server", ["applied"], indirect=True),
]

HOST = "hello.example.com"

BREAKING = """\
import os
from pathlib import Path

broken = Path(os.environ["DATA_DIR"]) / "broken"


def application(environ, start_response):
    if broken.exists():
        raise RuntimeError("the new release is broken")
    start_response("200 OK", [])
    return [b"new"]
"""
"""Well when it goes live; broken as soon as there is a file `broken` in its data."""


def saying(text: str) -> str:
    return HELLO.replace('"hello"', f'"{text}"')


def apply(server: DebianMachine, app: str, more: str = "") -> int:
    """Bring it live; returns the number of its generation."""
    folder = put_site(server, "hello", app, more)
    ran = server.run(["hostel", "apply", folder, "--json"], check=True, timeout=600)
    number: int = json.loads(ran.stdout)["sites"][0]["generation"]
    return number


def rollback(server: DebianMachine, *words: str) -> str:
    """What it said to people; it must succeed."""
    ran = server.run(["hostel", "rollback", *words], timeout=600)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


@pytest.fixture
def server(shared_server: DebianMachine) -> DebianMachine:
    """A machine on which a site that says "old" is live, in a folder as it should be."""
    put_site(shared_server, "hello", saying("old"))
    if not plan_is_empty(shared_server, "/root/hello"):
        apply(shared_server, saying("old"))
    return shared_server


def test_it_leads_to_what_was_live_before_and_loses_nothing(
    server: DebianMachine, record_property: Callable[[str, object], None]
) -> None:
    old = status(server, "hello")["generation"]
    new = apply(server, saying("new"))
    with Asker(server, HOST) as asker:
        asker.asked_again()
        began = time.monotonic()
        said = rollback(server, "hello")
        seconds = time.monotonic() - began
        asker.asked_again()
    assert ask(server, HOST).text == "old"
    assert set(asker.answers) <= {"old", "new"}
    assert f"generation {old}" in said
    now = status(server, "hello")
    assert (now["generation"], now["rolled_back_to"]) == (new + 1, old)
    switched = re.search(r"(?m)^ *([0-9.]+) s +switching the router", said)
    assert switched is not None, said
    record_property("seconds until the switch", float(switched[1]))
    record_property("seconds of the command", round(seconds, 2))


def test_twice_leads_further_back_and_never_to_what_was_left(server: DebianMachine) -> None:
    for text in ("first", "second", "third"):
        apply(server, saying(text))
    rollback(server, "hello")
    assert ask(server, HOST).text == "second"
    rollback(server, "hello")
    assert ask(server, HOST).text == "first"
    apply(server, saying("fourth"))
    rollback(server, "hello")
    assert ask(server, HOST).text == "first", "what was live before the fourth"


def test_it_ends_where_nothing_older_is_kept_and_says_what_there_is(server: DebianMachine) -> None:
    put_site(server, "young", saying("young"))
    server.run(["hostel", "apply", "/root/young"], check=True, timeout=600)
    try:
        ran = server.run(["hostel", "rollback", "young"])
        assert ran.returncode == 2
        assert "nothing that was live before it is kept" in ran.stderr
        assert "generation 1: release" in ran.stderr
        assert ask(server, "young.example.com").text == "young"
    finally:
        server.run(["hostel", "remove", "young", "--data", "--yes"], check=True, timeout=600)


def test_a_generation_or_a_release_can_be_named(server: DebianMachine) -> None:
    one = apply(server, saying("one"))
    release = status(server, "hello")["release"]
    apply(server, saying("two"))
    apply(server, saying("three"))
    rollback(server, "hello", "--to", str(one))
    assert ask(server, HOST).text == "one"
    rollback(server, "hello")
    rollback(server, "hello", "--to", release[:6])
    assert ask(server, HOST).text == "one"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hello", "--to", "9999"], "no generation and no release 9999"),
        (["hello", "--to", "zzzz"], "no generation and no release zzzz"),
        (["hello", "--to", ""], "no generation"),
        (["nobody"], "no such site is live here"),
        (["hello", "--to", "../../etc"], "no generation"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    server: DebianMachine, words: list[str], said: str
) -> None:
    before = status(server, "hello")["generation"]
    ran = server.run(["hostel", "rollback", *words])
    assert ran.returncode == 2
    assert said in ran.stderr
    if words[0] == "hello":
        assert f"generation {before}" in ran.stderr
    assert status(server, "hello")["generation"] == before


def test_the_live_one_is_no_way_back(server: DebianMachine) -> None:
    live = status(server, "hello")["generation"]
    ran = server.run(["hostel", "rollback", "hello", "--to", str(live)])
    assert ran.returncode == 2
    assert f"generation {live} is what is live" in ran.stderr


# -- while something is broken ------------------------------------------------------------------


def break_site_file(server: DebianMachine) -> None:
    server.write("/root/hello/hostel.toml", "name = hello [[[\n")


def remove_project(server: DebianMachine) -> None:
    server.run(["rm", "-rf", "/root/hello"], check=True)


def break_the_new_release(server: DebianMachine) -> None:
    server.write("/srv/hostel/hello/data/broken", "")
    assert ask(server, HOST).status == 500


def garble_apache(server: DebianMachine) -> None:
    """Whatever an administrator of another Apache did to it; Hostel's httpds do not read it."""
    script = "mkdir -p /etc/apache2 && cd /etc/apache2 && touch apache2.conf envvars ports.conf &&"
    script += " find . -type f -exec sh -c 'echo \"<Garbage $0\" > $0' {} ';'"
    server.run(["sh", "-c", script], check=True)


def edit_the_live_configuration(server: DebianMachine) -> None:
    number = status(server, "hello")["generation"]
    server.write(f"/srv/hostel/hello/generations/{number}/httpd.conf", "<VirtualHost garbage\n")


def kill_the_instance(server: DebianMachine) -> None:
    server.kill9(status(server, "hello")["unit"])


def fail_the_unit(server: DebianMachine) -> None:
    """It cannot even be started again."""
    edit_the_live_configuration(server)
    unit = status(server, "hello")["unit"]
    server.kill9(unit)
    server.run(["systemctl", "restart", unit])
    assert server.show(unit, "ActiveState") != "active"


def stop_the_unit(server: DebianMachine) -> None:
    server.run(["systemctl", "disable", "--now", status(server, "hello")["unit"]], check=True)


def break_records_of_the_new_release(server: DebianMachine) -> None:
    """Its code is gone from the disk."""
    release = status(server, "hello")["release"]
    server.run(["rm", "-rf", f"/srv/hostel/hello/releases/{release}"], check=True)


@pytest.mark.parametrize(
    "breaks",
    [
        break_site_file,
        remove_project,
        break_the_new_release,
        garble_apache,
        edit_the_live_configuration,
        kill_the_instance,
        fail_the_unit,
        stop_the_unit,
        break_records_of_the_new_release,
    ],
)
def test_it_works_after(breaks: Callable[[DebianMachine], Any], server: DebianMachine) -> None:
    apply(server, BREAKING)
    breaks(server)
    server.run(["hostel", "rollback", "hello"], check=True, timeout=600)
    assert ask(server, HOST).text == "old"
    assert status(server, "hello")["state"] == "up"
    server.run(["rm", "-f", "/srv/hostel/hello/data/broken"], check=True)
    failed = lambda: [unit for unit in server.failed() if unit.startswith("hostel-")]  # noqa: E731
    eventually(lambda: not failed(), "no unit of it counts as failed")


def test_the_site_is_found_by_its_folder_with_a_broken_file(server: DebianMachine) -> None:
    apply(server, BREAKING)
    break_site_file(server)
    server.run(["env", "-C", "/root/hello", "hostel", "rollback"], check=True, timeout=600)
    assert ask(server, HOST).text == "old"


def test_it_says_which_release_hooks_stay_done(server: DebianMachine) -> None:
    """Only a person knows how a migration is taken back."""
    hook = "[hooks]\nrelease = ['python3', '-c', 'print(\"migrated\")']\n"
    apply(server, saying("migrated"), hook)
    release = status(server, "hello")["release"]
    said = rollback(server, "hello")
    assert f"of release {release}" in said
    assert "not undone" in said
    assert "migrated" in said


def test_a_release_that_does_not_serve_any_more_is_not_switched_to(server: DebianMachine) -> None:
    """What was well once may be broken by now, by its data say: then all stays as it is."""
    apply(server, BREAKING)
    apply(server, saying("newer"))
    server.write("/srv/hostel/hello/data/broken", "")
    with Asker(server, HOST) as asker:
        ran = server.run(["hostel", "rollback", "hello"], timeout=600)
        asker.asked_again()
    server.run(["rm", "/srv/hostel/hello/data/broken"], check=True)
    assert ran.returncode == 4
    assert "the new release is broken" in ran.stderr
    assert set(asker.answers) == {"newer"}
