"""Many sites on one server: each answers to its own names, nobody to any other, also after a boot.

How much memory and time a hundred take is measured by `python -m bench.many_sites`.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .sites import HELLO, ask, put_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("shared_server", ["applied"], indirect=True),
]

NAMES = tuple(f"site{number}" for number in range(12))
"""One is the beginning of another's name: site1 and site10."""

FEW = """\
[server]
processes = 1
[env]
GREETING = "I am {name}"
"""


@pytest.fixture(scope="module")
def server(shared_server: DebianMachine) -> Iterator[DebianMachine]:
    """A machine with all of them, made by one command."""
    folders = [put_site(shared_server, name, HELLO, FEW.format(name=name)) for name in NAMES]
    shared_server.run(["hostel", "apply", *folders], check=True, timeout=1200)
    return shared_server


def all_answer(server: DebianMachine) -> bool:
    found = {name: ask(server, f"{name}.example.com").text for name in NAMES}
    return found == {name: f"I am {name}" for name in NAMES}


def nothing_to_do(server: DebianMachine) -> None:
    done = server.run(["hostel", "plan", "--all", "--exit-code"], timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    titles = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert {*NAMES, "hello", "this server"} <= titles


def over_tls(server: DebianMachine, sni: str | None, host: str) -> int:
    """The status of an answer to `host` on a connection to `sni`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((server.address, 443), 60)
    with plain, context.wrap_socket(plain, server_hostname=sni) as secure:
        return status_of(secure, host)


def plainly(server: DebianMachine, host: str) -> tuple[int, str]:
    """The same on port 80, and where the answer leads."""
    with socket.create_connection((server.address, 80), 60) as plain:
        connection = http.client.HTTPConnection(host)
        connection.sock = plain
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location", "")


def status_of(sock: socket.socket, host: str) -> int:
    connection = http.client.HTTPConnection(host)
    connection.sock = sock
    connection.request("GET", "/", headers={"Host": host})
    return connection.getresponse().status


def test_each_answers_for_itself_and_nothing_is_left_to_do(server: DebianMachine) -> None:
    assert all_answer(server)
    nothing_to_do(server)
    for name in NAMES:
        host = f"{name}.example.com"
        assert plainly(server, host) == (308, f"https://{host}/")


def test_a_name_that_is_nobodys_is_refused(server: DebianMachine) -> None:
    for stranger in ("stranger.example.com", "site12.example.com", "example.com", None):
        with pytest.raises((OSError, http.client.HTTPException)):
            over_tls(server, stranger, "site1.example.com")
    for stranger in ("stranger.example.com", "site1.example.com.evil.org", server.address):
        assert plainly(server, stranger)[0] == 421


def test_one_sites_connection_leads_to_no_other_site(server: DebianMachine) -> None:
    assert over_tls(server, "site1.example.com", "site1.example.com") == 200
    for host in ("site10.example.com", "site2.example.com", "hello.example.com", "localhost"):
        assert over_tls(server, "site1.example.com", host) == 421


def test_a_change_of_one_is_no_change_of_another(server: DebianMachine) -> None:
    def pids() -> set[str]:
        argv = ["systemctl", "show", "-P", "MainPID", "hostel-instance@*"]
        return {*server.run(argv, check=True).stdout.split()}

    before = pids()
    put_site(server, "site3", HELLO + "\n# changed\n", FEW.format(name="site3"))
    server.run(["hostel", "apply", "/root/site3"], check=True, timeout=600)
    eventually(lambda: len(pids()) == len(before), "the old instance has ended")
    assert len(pids() & before) == len(before) - 1
    assert all_answer(server)
    nothing_to_do(server)


def test_all_are_back_after_a_boot(server: DebianMachine) -> None:
    server.reboot()
    assert server.failed() == []
    eventually(lambda: all_answer(server), "all answer", 300)
    nothing_to_do(server)
    said = json.loads(server.run(["hostel", "status", "--json"], check=True).stdout)["sites"]
    assert {site["name"]: site["state"] for site in said} == dict.fromkeys((*NAMES, "hello"), "up")
