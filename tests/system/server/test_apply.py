"""The main path on a server: a site goes live, changes, and goes back."""

from __future__ import annotations

import pytest

from ..machines import DebianMachine
from .sites import HELLO, ask, plan_is_empty, put_site, status

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


@pytest.mark.parametrize("server", ["hostel"], indirect=True)
def test_a_bare_server_becomes_a_host_with_one_command(server: DebianMachine) -> None:
    folder = put_site(server, "hello")
    planned = server.run(["hostel", "plan", folder], check=True).stdout
    assert "haproxy" in planned
    # At a terminal one is asked before apt installs anything; no is an answer.
    typed = ["script", "-qec", f"hostel apply {folder}", "/dev/null"]
    refused = server.run(typed, stdin="n\n", timeout=600)
    assert "haproxy" in refused.stdout
    assert refused.returncode != 0
    assert not server.exists("/usr/sbin/haproxy")
    server.run(["hostel", "apply", folder], check=True, timeout=600)
    assert ask(server, "hello.example.com").text == "hello"
    assert plan_is_empty(server, folder)
    assert not server.failed()


@pytest.mark.parametrize("server", ["applied"], indirect=True)
def test_a_change_goes_live_and_back_and_outlives_a_reboot(server: DebianMachine) -> None:
    folder = put_site(server, "hello", HELLO.replace('"hello"', '"changed"'))
    assert not plan_is_empty(server, folder)
    server.run(["hostel", "apply", folder], check=True, timeout=600)
    assert ask(server, "hello.example.com").text == "changed"
    assert plan_is_empty(server, folder)
    server.run(["hostel", "rollback", "hello"], check=True, timeout=600)
    assert ask(server, "hello.example.com").text == "hello"
    assert status(server, "hello")["rolled_back_to"] == 1
    server.reboot()
    assert status(server, "hello")["state"] == "up"
    assert ask(server, "hello.example.com").text == "hello"
