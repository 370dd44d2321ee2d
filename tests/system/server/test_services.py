"""The kind `service` and the units' texts on a machine that systemd really runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hostel.systemd_units import (
    JobUnit,
    Runs,
    WorkerUnit,
    cron_service,
    cron_timer,
    job_name,
    timer_mark,
    timer_name,
    worker_name,
    worker_unit,
)

from ..machines import DebianMachine
from ..machines.host import ROOT, eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.parametrize("shared_server", ["bare"], indirect=True),
]

UNITS = "/etc/systemd/system"
DRIVER = """
import json, sys
from dataclasses import asdict
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change
from hostel.resources.service import Services, ServiceState, service_key
unit, *wanted = json.loads(sys.stdin.read())
services, machine, which = Services(), Machine(), service_key(unit)
answer = {"before": None, "after": None, "error": None}
def seen():
    state = services.observe(which, machine)
    return state and {"enabled": state.enabled, "running": state.running, "mark": state.mark}
answer["before"] = seen()
for after in wanted:
    state = ServiceState(**after) if after is not None else None
    try:
        services.enact(Change(which, services.observe(which, machine), state), machine)
    except HostelError as error:
        answer["error"] = [error.doing, error.happened, error.remedy, error.detail]
answer["after"] = seen()
print(json.dumps(answer))
"""
"""Does to a unit what a list of wanted states asks for, and tells what it saw."""

RUNNING = {"enabled": True, "running": True, "mark": ""}
NOTIFY = """
import os, socket, sys, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(text.encode(), os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
"""


class Driven:
    """A machine with the source of Hostel on it, and units of this test's own."""

    def __init__(self, server: DebianMachine) -> None:
        self.server = server

    def __call__(self, unit: str, *wanted: dict[str, Any] | None) -> dict[str, Any]:
        ran = self.server.run(
            ["python3", "-c", DRIVER],
            stdin=json.dumps([unit, *wanted]),
            env={"PYTHONPATH": "/opt/src", "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    def unit(self, name: str, script: str, settings: str = "") -> str:
        """A service of this Python script."""
        self.server.write(f"/opt/{name}.py", NOTIFY + script)
        self.server.write(
            f"{UNITS}/{name}.service",
            f"[Service]\nExecStart=/usr/bin/python3 -u /opt/{name}.py\nRestart=always\n"
            f"RestartSec=1s\n{settings}\n[Install]\nWantedBy=multi-user.target\n",
        )
        return f"{name}.service"


@pytest.fixture
def driven(shared_server: DebianMachine) -> Driven:
    if not shared_server.exists("/opt/src"):
        shared_server.put(ROOT / "src", "/opt/src")
    return Driven(shared_server)


def test_a_service_is_there_when_it_says_that_it_is_ready_and_comes_back_after_a_boot(
    driven: Driven,
) -> None:
    script = "time.sleep(1)\nopen('/run/was-ready', 'w')\nsay('READY=1')\ntime.sleep(9999)"
    unit = driven.unit("hostel-good", script, "Type=notify")
    answer = driven(unit, RUNNING)
    assert (answer["before"], answer["after"], answer["error"]) == (None, RUNNING, None)
    assert driven.server.exists("/run/was-ready")
    pid = driven.server.show(unit, "MainPID")
    assert driven(unit, RUNNING)["error"] is None
    assert driven.server.show(unit, "MainPID") == pid, "a second start made it anew"
    driven.server.reboot()
    assert driven(unit)["before"] == RUNNING
    answer = driven(unit, None, None)
    assert (answer["after"], answer["error"]) == (None, None)
    driven.server.reboot()
    assert driven(unit)["before"] is None


def test_a_stop_does_not_wait_for_what_is_in_flight(driven: Driven) -> None:
    settings = "Type=notify\nTimeoutStopSec=infinity\nExecStop=/bin/sh -c 'cat /run/fifo'"
    unit = driven.unit("hostel-slow-end", "say('READY=1')\ntime.sleep(9999)", settings)
    driven.server.run(["mkfifo", "/run/fifo"], check=True)
    answer = driven(unit, RUNNING, None)
    assert (answer["after"], answer["error"]) == (None, None)
    assert driven.server.show(unit, "ActiveState") == "deactivating"
    driven.server.run(["sh", "-c", "echo >/run/fifo"], check=True)
    eventually(lambda: driven.server.show(unit, "ActiveState") == "inactive", "it has ended")


def test_a_failed_start_says_why_and_leaves_nothing_that_tries_again(driven: Driven) -> None:
    script = "say('STATUS=ImportError: no module x')\nprint('its last word')\nsys.exit(3)"
    unit = driven.unit("hostel-bad", script, "Type=notify\nNotifyAccess=all")
    answer = driven(unit, RUNNING)
    doing, happened, _, detail = answer["error"]
    assert doing == f"starting {unit}"
    assert happened == "ImportError: no module x (it ended with exit code 3)"
    assert "its last word" in detail
    assert answer["after"] is None
    assert driven.server.show(unit, "ActiveState") == "inactive"
    assert driven.server.show(unit, "UnitFileState") == "disabled"


def test_a_start_that_takes_too_long_is_told(driven: Driven) -> None:
    settings = "Type=notify\nTimeoutStartSec=1s\nTimeoutStartFailureMode=kill"
    unit = driven.unit("hostel-late", "time.sleep(9999)", settings)
    answer = driven(unit, RUNNING)
    assert answer["error"][1] == "it was not ready in time"
    assert answer["after"] is None


def test_a_process_that_ends_at_once_has_not_started(driven: Driven) -> None:
    unit = driven.unit("hostel-short", "print('bye')\nsys.exit(4)", "Type=exec")
    answer = driven(unit, RUNNING)
    assert answer["error"][1] == "it ended with exit code 4"
    assert "bye" in answer["error"][3]
    assert answer["after"] is None


def test_a_unit_that_there_is_not_is_told_and_is_nothing_to_stop(driven: Driven) -> None:
    answer = driven("hostel-nothing.service", None)
    assert (answer["before"], answer["after"], answer["error"]) == (None, None, None)
    error = driven("hostel-nothing.service", RUNNING)["error"]
    assert "hostel-nothing.service" in error[0] + error[1] + error[3]


def test_a_service_whose_file_is_gone_can_be_stopped(driven: Driven) -> None:
    unit = driven.unit("hostel-orphan", "time.sleep(9999)", "Type=exec")
    assert driven(unit, RUNNING)["after"] == RUNNING
    driven.server.run(["rm", f"{UNITS}/{unit}"], check=True)
    answer = driven(unit, None)
    assert (answer["after"], answer["error"]) == (None, None)
    assert not driven.server.exists(f"{UNITS}/multi-user.target.wants/{unit}")


def test_what_is_enabled_and_does_not_run_is_seen(driven: Driven) -> None:
    """It would be back after the next boot."""
    unit = driven.unit("hostel-asleep", "time.sleep(9999)", "Type=exec")
    driven(unit, RUNNING)
    driven.server.run(["systemctl", "stop", unit], check=True)
    assert driven(unit)["before"] == RUNNING | {"running": False}
    assert driven(unit, None)["after"] is None


# -- the units of a site ------------------------------------------------------------------------

HOSTILE = ("%n", "$HOME", "${HOME}", "$$", ";", "", '"', "\\", "\\n", "a\n\tb", "é", " ", "\u2028")
SHOWN = "import os, sys; print(ascii([sys.argv[1:], sorted(os.environ)])); sys.stdout.flush()"
SLEEP = "; import time; time.sleep(9999)"


@pytest.fixture
def runs(driven: Driven) -> Runs:
    server, home = driven.server, Path("/srv/hostel/guestbook")
    boot = Path("/var/lib/hostel/boot")
    if not server.exists(str(home)):
        server.run(["useradd", "--system", "hostel-guestbook"], check=True)
        facts = {
            "env": {"A": "1", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            "cwd": "/",
            "argv": [],
            "path": [],
        }
        server.write(f"{home}/boot.json", json.dumps(facts))
        server.write(f"{home}/data/kept", "")
        server.put(ROOT / "src/hostel/boot/launch.py", f"{boot}/launch.py")
    return Runs(
        site="guestbook",
        user="hostel-guestbook",
        group="hostel-guestbook",
        boot=boot,
        boot_json=home / "boot.json",
        writable=(home / "data",),
        memory="300000000",
        tasks=50,
    )


def test_a_worker_gets_its_words_and_the_environment_of_the_site_and_nothing_else(
    driven: Driven, runs: Runs
) -> None:
    worker = WorkerUnit(runs, 1, "mailer", 1, ("python3", "-c", SHOWN + SLEEP, *HOSTILE), 5)
    unit = worker_name(worker)
    driven.server.write(f"{UNITS}/{unit}", worker_unit(worker))
    assert driven(unit, RUNNING)["error"] is None
    said = ascii([[*HOSTILE], ["A", "LANG", "PATH"]])
    eventually(lambda: said in driven.server.journal(unit), f"it says {said}")
    assert driven(unit, None)["after"] is None


def test_a_job_that_is_replaced_goes_on_and_its_timer_remembers(driven: Driven, runs: Runs) -> None:
    def put(job: JobUnit) -> None:
        driven.server.write(f"{UNITS}/{job_name('guestbook', 'clean')}", cron_service(job))
        driven.server.write(f"{UNITS}/{timer}", cron_timer(job))

    timer, service = timer_name("guestbook", "clean"), job_name("guestbook", "clean")
    first = JobUnit(runs, "clean", ("sleep", "9999"), ("*-*-* *:*:0/2",), 9999)
    later = JobUnit(runs, "clean", ("true",), ("*-*-* *:*:1/2",), 9999)
    put(first)
    answer = driven(timer, RUNNING | {"mark": timer_mark(first)})
    assert answer["after"] == RUNNING | {"mark": timer_mark(first)}
    eventually(lambda: driven.server.show(service, "ActiveState") == "active", "the job runs")
    pid = driven.server.show(service, "MainPID")
    last = driven.server.show(timer, "LastTriggerUSec")
    put(later)
    answer = driven(timer, RUNNING | {"mark": timer_mark(later)})
    assert answer["before"] == RUNNING | {"mark": timer_mark(first)}
    assert answer["after"] == RUNNING | {"mark": timer_mark(later)}
    assert driven.server.show(service, "MainPID") == pid
    assert driven.server.show(timer, "LastTriggerUSec") == last
    driven.server.run(["systemctl", "stop", service], check=True)
    eventually(
        lambda: driven.server.show(timer, "LastTriggerUSec") != last, "the later job has its turn"
    )
    stamp = f"/var/lib/systemd/timers/stamp-{timer}"
    assert driven.server.exists(stamp)
    assert driven(timer, None)["after"] is None
    assert not driven.server.exists(stamp), "a new job of that name would run at once"


def test_what_a_worker_takes_too_much_of_is_refused_to_it_alone(driven: Driven, runs: Runs) -> None:
    script = """
import os, time
for wrong in ("/srv/hostel/guestbook/x", "/etc/x", "/home/x", "/root"):
    try:
        open(wrong, "w")
    except OSError as error:
        print(f"<{wrong}: {error.errno}>")
open("/tmp/mine", "w")
open("/srv/hostel/guestbook/data/mine", "w")
children = []
try:
    while True:
        child = os.fork()
        if not child:
            time.sleep(9999)
        children.append(child)
except OSError:
    print(f"<{len(children)} forks>", flush=True)
time.sleep(9999)
"""
    server = driven.server
    server.run(["chown", "hostel-guestbook", "/srv/hostel/guestbook/data"], check=True)
    worker = WorkerUnit(runs, 1, "greedy", 1, ("python3", "-c", script), 1)
    unit = worker_name(worker)
    server.write(f"{UNITS}/{unit}", worker_unit(worker))
    assert driven(unit, RUNNING)["error"] is None
    eventually(lambda: "<49 forks>" in server.journal(unit), "its forks are counted")
    said = server.journal(unit)
    for path in ("/srv/hostel/guestbook/x", "/etc/x", "/home/x", "/root"):
        assert f"<{path}: " in said
    assert server.exists("/srv/hostel/guestbook/data/mine")
    assert not server.exists("/tmp/mine")
    assert driven(unit, None)["after"] is None
    eventually(lambda: server.show(unit, "ActiveState") in ("inactive", "failed"), "it has ended")
