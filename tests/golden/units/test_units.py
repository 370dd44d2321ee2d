"""What the units of a site say, whole: compared with what was looked at and kept.

After a change that is meant, write them anew with `HOSTEL_GOLDEN=write` and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostel.sites_unit import SITES, sites_unit
from hostel.systemd_units import (
    InstanceUnit,
    JobUnit,
    Runs,
    WorkerUnit,
    cron_service,
    cron_timer,
    instance_dropin,
    instance_template,
    worker_unit,
)

HERE = Path(__file__).parent
HOME = Path("/srv/hostel/guestbook")
GENERATION = HOME / "generations/3"
RUNS = Runs(
    site="guestbook",
    user="hostel-guestbook",
    group="hostel-guestbook",
    boot=Path("/var/lib/hostel/boot"),
    boot_json=GENERATION / "boot.json",
    writable=(HOME / "data", Path("/var/log/hostel/guestbook")),
    memory="512000000",
    tasks=600,
    cpu="150%",
)
INSTANCE = InstanceUnit(
    runs=RUNS,
    generation=3,
    run=Path("/run/hostel/guestbook-3"),
    httpd=Path("/usr/sbin/apache2"),
    conf=GENERATION / "httpd.conf",
    ports=(21004, 21005),
    start_seconds=30,
    stop_seconds=60,
    idle_seconds=6,
)
WORKER = WorkerUnit(RUNS, 3, "mailer", 1, ("python", "mail.py", "--rate", "5%", "two words"), 30)
JOB = JobUnit(
    RUNS,
    "clean",
    ("python", "clean.py"),
    ("*-*-* 04:30:00", "Mon *-*-* 12:00:00 Europe/Berlin"),
    60,
)
TEXTS = {
    SITES: sites_unit(),
    "hostel-instance@.service": instance_template(),
    "site.conf": instance_dropin(INSTANCE),
    "hostel-worker@guestbook-3.mailer.1.service": worker_unit(WORKER),
    "hostel-cron@guestbook.clean.service": cron_service(JOB),
    "hostel-cron@guestbook.clean.timer": cron_timer(JOB),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_unit_says_what_it_was_seen_to_say(name: str) -> None:
    path = HERE / name
    if os.environ.get("HOSTEL_GOLDEN") == "write":
        path.write_text(TEXTS[name])
    there = path.read_text() if path.exists() else ""
    assert TEXTS[name] == there, "if this is meant: HOSTEL_GOLDEN=write pytest tests/golden"
