"""Variables kept on a server go live with a switch, and nobody but root and the app sees them."""

from __future__ import annotations

import json

import pytest

from ..machines import DebianMachine
from .sites import HELLO, ask, plan_is_empty, put_site, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("server", ["applied"], indirect=True),
]

SECRET = "hunter2-do-not-show"
NAME = "hello.example.com"
STORE = "/etc/hostel/sites/hello/env.json"

BREAKS = HELLO.replace("import os\n", "import os\n\nassert 'BREAK' not in os.environ\n", 1)
"""Says hello, unless that variable is there."""


def test_a_variable_goes_live_and_goes_again_and_each_is_a_switch(server: DebianMachine) -> None:
    done = server.run(["hostel", "env", "set", "GREETING"], stdin=f"{SECRET}\n", timeout=600)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert ask(server, NAME).text == SECRET
    assert status(server, "hello")["generation"] == 2
    assert server.run(["hostel", "env", "diff"]).returncode == 0
    assert plan_is_empty(server, "/root/hello")

    listed = server.run(["hostel", "env", "list", "--site", "hello", "--json"], check=True).stdout
    assert [one["value"] for one in json.loads(listed)["variables"]] == [None]
    shown = server.run(["hostel", "env", "list", "--show"], check=True).stdout
    assert shown == f"GREETING  store  {SECRET}\n"

    server.run(["hostel", "env", "unset", "GREETING"], check=True, timeout=600)
    assert ask(server, NAME).text == "hello"
    assert status(server, "hello")["generation"] == 3


def test_what_is_only_kept_is_pending_until_the_next_apply(server: DebianMachine) -> None:
    server.write("/root/hello/.env", "COLOR=red\n", 0o600)
    text = f"GREETING='{SECRET}'\nMORE=1\n"
    server.run(["hostel", "env", "import", "-", "--no-apply"], stdin=text, check=True)
    assert ask(server, NAME).text == "hello"
    done = server.run(["hostel", "env", "diff"])
    assert done.returncode == 3
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["+", "COLOR"],
        ["+", "GREETING"],
        ["+", "MORE"],
    ]
    planned = server.run(["hostel", "plan", "/root/hello"], check=True).stdout
    assert "env GREETING" in planned
    assert SECRET not in done.stdout + done.stderr + planned
    server.run(["hostel", "apply", "/root/hello"], check=True, timeout=600)
    assert ask(server, NAME).text == SECRET
    assert server.run(["hostel", "env", "diff"]).returncode == 0

    server.run(["hostel", "env", "unset", "GREETING", "--no-apply"], check=True)
    planned = server.run(["hostel", "plan", "/root/hello", "--json"], check=True).stdout
    pending = server.run(["hostel", "env", "diff"])
    assert pending.returncode == 3
    assert "env GREETING" in planned
    assert SECRET not in planned + pending.stdout + pending.stderr


def test_a_variable_that_breaks_the_app_is_neither_live_nor_kept(server: DebianMachine) -> None:
    folder = put_site(server, "hello", BREAKS)
    server.run(["hostel", "apply", folder], check=True, timeout=600)
    server.run(["hostel", "env", "set", "GREETING"], stdin="first", check=True, timeout=600)
    done = server.run(["hostel", "env", "set", "BREAK"], stdin=SECRET, timeout=600)
    assert done.returncode == 4, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert ask(server, NAME).text == "first"
    assert json.loads(server.read(STORE))["values"] == {"GREETING": "first"}
    assert server.run(["hostel", "env", "diff"]).returncode == 0


def test_nobody_but_root_and_the_app_sees_what_is_kept(server: DebianMachine) -> None:
    server.run(["hostel", "env", "set", "GREETING"], stdin=SECRET, check=True, timeout=600)
    assert server.run(["stat", "-c", "%a %U", STORE]).stdout == "600 root\n"
    server.run(["useradd", "--create-home", "person"], check=True)
    for argv in (["list"], ["list", "--show"], ["diff"], ["set", "A"], ["unset", "GREETING"]):
        as_person = ["runuser", "-u", "person", "--", "hostel", "env", *argv, "--site", "hello"]
        done = server.run(as_person, stdin="x")
        assert done.returncode == 1, done.stderr
        assert "sudo" in done.stderr
        assert SECRET not in done.stdout + done.stderr
    # The pattern comes from stdin: journald records the arguments of those who log.
    search = ["grep", "-rlsaFf", "-", "/etc", "/srv", "/var", "/run", "/tmp", "/home", "/usr"]
    found = server.run(search, stdin=SECRET).stdout.splitlines()
    assert STORE in found
    assert server.run(["runuser", "-u", "person", "--", *search], stdin=SECRET).stdout == ""
    in_logs = [path for path in found if path.startswith(("/var/log/", "/etc/systemd/", "/run/"))]
    assert in_logs == []
