"""Whether a port is free, on real sockets of this machine."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from hostel import ports
from hostel.account import Account
from hostel.errors import HostelError

HOLD = """
import socket, sys
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind((sys.argv[1], 0)); one.listen(); print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""

here = pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])


def skip_without(address: str) -> None:
    if not ports.usable(address):
        pytest.skip(f"no {address} here")


@here
def test_a_free_port_can_be_listened_on(address: str) -> None:
    skip_without(address)
    ports.check_free(address, ports.free_port(address))


@here
def test_a_taken_port_names_its_holder(address: str) -> None:
    skip_without(address)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(ports.PortTaken) as caught:
            ports.check_free(address, port)
        child.kill()
    assert f"pid {child.pid}" in caught.value.happened
    assert f"user {Account.current().name}" in caught.value.happened
    assert "--https" in caught.value.remedy


def test_a_listener_on_every_address_is_in_the_way_of_one() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ports.PortTaken) as caught:
            ports.check_free("127.0.0.1", port)
    assert caught.value.holder is not None
    assert caught.value.holder.pid == os.getpid()


def test_a_listener_on_another_address_is_not_in_the_way() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        ports.check_free("127.0.0.1", port)


def test_connections_of_a_server_that_has_gone_are_not_in_the_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        served.close()  # The side that closes first is left in TIME_WAIT.
        client.close()
    ports.check_free("127.0.0.1", port)


def test_a_holder_that_cannot_be_seen_is_said_to_be_so() -> None:
    error = ports.PortTaken("::1", 8443, None)
    assert "[::1]:8443" in error.doing
    assert "ss -ltnp" in error.remedy


def test_an_instance_of_hostel_is_told_from_strangers() -> None:
    argv = ["/usr/sbin/apache2", "-f", "/srv/my site/.hostel/instance/httpd.conf", "-DFOREGROUND"]
    assert ports._site(argv) == "/srv/my site/.hostel"
    assert ports._site(["/usr/sbin/apache2", "-f", "/etc/apache2/apache2.conf"]) == ""
    assert ports._site(["nginx", "-f"]) == ""


def test_a_low_port_is_refused_for_a_runner_who_is_not_root() -> None:
    nobody = Account("nobody", 65534, 65534, ports.Path("/"))
    if ports._first_for_all() <= 443:
        pytest.skip("low ports are open to all here")
    with pytest.raises(HostelError) as caught:
        ports.check_free("127.0.0.1", 443, nobody)
    assert "nobody" in caught.value.happened
    assert "8443" in caught.value.remedy


def test_a_low_port_is_explained_to_an_ordinary_user() -> None:
    error = ports._explained("127.0.0.1", 443, PermissionError(errno.EACCES, "Permission denied"))
    assert "root" in error.happened
    assert "8443" in error.remedy


def test_an_address_that_is_not_this_machines_is_unusable() -> None:
    assert ports.usable("127.0.0.1")
    assert not ports.usable("192.0.2.1")
    with pytest.raises(HostelError, match=r"no address 192\.0\.2\.1"):
        ports.check_free("192.0.2.1", 8080)


@pytest.mark.parametrize(
    ("theirs", "ours", "answer"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_who_is_in_whose_way(theirs: str, ours: str, answer: bool) -> None:
    assert ports._in_the_way(theirs, ours) is answer
