"""The unit of an instance, as `hostel apply` makes it, under what happens to units."""

from __future__ import annotations

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .sites import site_file

pytestmark = [pytest.mark.system, pytest.mark.long]

UNIT = "hostel-instance@hello-1.service"
ERRORS = "/var/log/hostel/hello"
APP = """\
import os
import pathlib
import time

if pathlib.Path(os.environ["DATA_DIR"], "fail").exists():
    raise RuntimeError("asked to fail")


def application(environ, start_response):
    do, _, number = environ["QUERY_STRING"].partition("=")
    if do == "sleep":
        time.sleep(float(number))
    if do == "leak":
        held = []
        while True:
            held.append(os.urandom(1 << 20))
    if do == "fork":
        children = []
        try:
            while True:
                child = os.fork()
                if not child:
                    time.sleep(3)
                    os._exit(0)
                children.append(child)
        except OSError as error:
            number = f"{len(children)} children"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{do} {number}".encode()]
"""
LIMITS = """\
[server]
processes = 2
threads = 4
request_timeout = 3600
memory = "150MB"
tasks = 60
[tls]
mode = "off"
"""
URL = "http://hello.example.com/"


@pytest.fixture(scope="module")
def site(shared_server: DebianMachine) -> DebianMachine:
    """A machine with that site on it."""
    shared_server.write("/root/hello/app.py", APP)
    shared_server.write("/root/hello/hostel.toml", site_file("hello", LIMITS))
    shared_server.run(["hostel", "apply", "/root/hello"], check=True, timeout=900)
    return shared_server


def curl(query: str = "") -> list[str]:
    to = ["--connect-to", "::127.0.0.1:"]
    return ["curl", "-sS", *to, "-w", " %{http_code}", f"{URL}?{query}"]


def answer(server: DebianMachine, query: str = "") -> str:
    return server.run(curl(query)).stdout


def is_down(server: DebianMachine) -> bool:
    return server.show(UNIT, "ActiveState") in ("inactive", "failed")


def start(server: DebianMachine) -> None:
    server.run(["systemctl", "start", UNIT], check=True)


def test_a_request_in_flight_ends_normally_when_the_unit_is_stopped(site: DebianMachine) -> None:
    asked = site.popen(curl("sleep=20"))
    eventually(lambda: "ESTAB" in site.run(["ss", "-Htn", "sport", ">=", "21000"]).stdout, "sent")
    site.run(["systemctl", "stop", "--no-block", UNIT], check=True)
    assert asked.communicate(timeout=120)[0] == "sleep 20 200"
    eventually(lambda: is_down(site), "it has ended")
    assert site.show(UNIT, "Result") == "success"
    start(site)


def test_what_takes_too_much_memory_is_ended_alone(site: DebianMachine) -> None:
    pid = site.show(UNIT, "MainPID")
    assert "200" not in answer(site, "leak")
    eventually(lambda: answer(site, "x=1") == "x 1 200", "another process serves")
    assert site.show(UNIT, "MainPID") == pid


def test_an_app_that_forks_without_end_stays_within_its_unit_and_can_be_drained(
    site: DebianMachine,
) -> None:
    assert answer(site, "fork").endswith(" children 200")
    assert site.run(["systemctl", "--version"]).returncode == 0
    site.run(["systemctl", "stop", UNIT], check=True)
    assert site.show(UNIT, "Result") == "success"
    start(site)


def test_an_app_that_fails_is_told_and_tried_again_until_it_is_good(site: DebianMachine) -> None:
    site.run(["systemctl", "stop", UNIT], check=True)
    site.run(["touch", "/srv/hostel/hello/data/fail"], check=True)
    assert site.run(["systemctl", "start", UNIT]).returncode != 0
    assert site.show(UNIT, "StatusText") == "RuntimeError: asked to fail"
    assert "RuntimeError: asked to fail" in site.run(["sh", "-c", f"cat {ERRORS}/error*"]).stdout
    site.run(["rm", "/srv/hostel/hello/data/fail"], check=True)
    eventually(lambda: site.show(UNIT, "ActiveState") == "active", "it is tried again")
    assert answer(site, "x=1") == "x 1 200"


@pytest.mark.parametrize("signal", ["KILL", "TERM", "WINCH"])
def test_an_instance_that_is_killed_or_ends_by_itself_comes_back(
    site: DebianMachine, signal: str
) -> None:
    before = site.show(UNIT, "MainPID")
    site.run(["systemctl", "kill", "-s", signal, "--kill-whom=main", UNIT], check=True)

    def back() -> bool:
        return (
            site.show(UNIT, "MainPID") not in ("0", before)
            and site.show(UNIT, "ActiveState") == "active"
        )

    eventually(back, f"it is back after SIG{signal}")
    assert answer(site, "x=1") == "x 1 200"


def test_a_machine_goes_down_soon_and_its_sites_come_back(site: DebianMachine) -> None:
    """A request may take an hour here, more than a machine in these tests has to go down."""
    asked = site.popen(curl("sleep=3600"))
    eventually(lambda: "ESTAB" in site.run(["ss", "-Htn", "sport", ">=", "21000"]).stdout, "sent")
    site.reboot()
    asked.kill()
    asked.communicate()
    eventually(lambda: answer(site, "x=1") == "x 1 200", "it serves again")
