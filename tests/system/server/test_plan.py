"""`hostel plan` says what `hostel apply` does, hides secrets, and sees what was changed by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..machines import DebianMachine
from .sites import HELLO, ask, plan_is_empty, put_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("server", ["applied"], indirect=True),
]

FOLDER = "/root/hello"
CONF = "/srv/hostel/hello/generations/1/httpd.conf"


def plans(server: DebianMachine, folder: str = FOLDER) -> dict[str, dict[str, Any]]:
    """What `plan --json` says, by what it is about."""
    said = json.loads(server.run(["hostel", "plan", folder, "--json"], check=True).stdout)
    assert said["version"] == 1
    return {one["about"]: one for one in said["plans"]}


def keys(plan: dict[str, Any]) -> list[str]:
    return [change["key"] for change in plan["changes"]]


def test_each_change_that_is_planned_is_made_and_no_other(server: DebianMachine) -> None:
    put_site(server, "hello", HELLO.replace('"hello"', '"new"'))
    planned = plans(server)["hello"]
    assert "release" in [reason["what"] for reason in planned["reasons"]]
    route = next(change for change in planned["changes"] if change["key"] == "route:hello")
    assert route["before"]["https"].endswith(":21001")
    files = [change for change in planned["changes"] if change["kind"] in ("file", "folder")]
    assert not any(server.exists(one["name"]) for one in files if one["verb"] == "create")
    assert "service:hostel-instance@hello-1.service" in keys(planned)
    server.run(["hostel", "apply", FOLDER], check=True, timeout=600)
    assert all(server.exists(one["name"]) for one in files)
    routes = json.loads(server.read("/etc/hostel/router/routes.json"))["routes"]
    assert routes[0]["https"] == route["after"]["https"]
    assert plan_is_empty(server, FOLDER)


def test_planning_changes_nothing(server: DebianMachine) -> None:
    put_site(server, "hello", HELLO + "# changed\n", '[env]\nA = "b"\n')
    look = ["find", "/etc", "/srv", "/var/lib/hostel", "-printf", "%p %m %u %g %s %T@\\n"]
    # A folder's time changes when the index of the project's files is replaced: no state of a site.
    before = server.run(look, check=True).stdout.splitlines()
    plans(server)
    after = server.run(look, check=True).stdout.splitlines()
    changed = {line.split()[0] for line in {*before} ^ {*after}}
    assert changed <= {"/srv/hostel/hello/releases", "/srv/hostel/hello/releases/index.json"}


def test_secrets_are_masked_in_every_form_of_a_plan(server: DebianMachine) -> None:
    put_site(server, "hello", more='[env]\nAPI_TOKEN = "tok-s3cret-1"\nMOOD = "fine"\n')
    server.write(f"{FOLDER}/.env", "DATABASE_URL=postgresql://u:s3cret-2@db/x\n", 0o600)
    texts = [
        server.run(["hostel", "plan", FOLDER, *more], check=True).stdout
        for more in ([], ["--json"])
    ]
    for text in texts:
        assert "API_TOKEN" in text
        assert "fine" in text
        assert "s3cret" not in text


def test_what_was_changed_by_hand_is_shown_and_put_back(server: DebianMachine) -> None:
    server.run(["chmod", "666", CONF], check=True)
    server.run(
        ["sed", "-i", "$a # by hand", "/etc/systemd/system/hostel-router.service"], check=True
    )
    said = server.run(["hostel", "plan", FOLDER], check=True).stdout
    assert said.count("by hand:") == 2
    assert "mode 0666" in said
    assert "-# by hand" in said
    assert server.run(["hostel", "plan", FOLDER, "--exit-code"]).returncode == 3
    server.run(["hostel", "apply", FOLDER], check=True, timeout=600)
    assert plan_is_empty(server, FOLDER)
    assert "by hand" not in server.read("/etc/systemd/system/hostel-router.service")
    assert ask(server, "hello.example.com").text == "hello"


def test_what_was_changed_by_hand_stays_if_one_says_so(server: DebianMachine) -> None:
    unit = "/etc/systemd/system/hostel-router.service"
    server.run(["sed", "-i", "$a # by hand", unit], check=True)
    put_site(server, "hello", HELLO.replace('"hello"', '"new"'))
    server.run(["hostel", "apply", FOLDER, "--keep", f"file:{unit}"], check=True, timeout=600)
    assert "by hand" in server.read(unit)
    assert ask(server, "hello.example.com").text == "new"
    assert [one["key"] for one in plans(server)["this server"]["drift"]] == [f"file:{unit}"]


def test_a_removed_file_of_the_live_generation_comes_back(server: DebianMachine) -> None:
    server.run(["rm", CONF], check=True)
    assert keys(plans(server)["hello"]) == [f"file:{CONF}"]
    server.run(["hostel", "apply", FOLDER], check=True, timeout=600)
    assert server.exists(CONF)
    assert plan_is_empty(server, FOLDER)
